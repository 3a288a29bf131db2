//! The framed console, the host's side: the guest's bytes apart into streams, the host's input into frames.
//! The kernel's `console` module writes what this reads.

/// Starts a control.
pub const DLE: u8 = 0x10;
/// The end of bytes that were typed together, for a guest that has a terminal.
pub const END_OF_PIECE: [u8; 2] = [DLE, b'.'];
/// The end of the input, for the guest.
pub const END_OF_INPUT: [u8; 2] = [DLE, b'E'];
/// Asks the guest for a dump of its state.
pub const DUMP: [u8; 2] = [DLE, b'D'];
/// The terminal has gone, for the guest.
pub const HANG_UP: [u8; 2] = [DLE, b'H'];

/// The terminal's size, for the guest.
pub fn window((rows, columns): (u16, u16)) -> Vec<u8> {
    [&[DLE, b'W'], format!("{rows:05}{columns:05}").as_bytes()].concat()
}

/// Whose bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Whatever the machine printed before the kernel spoke.
    Firmware,
    Output,
    Error,
    Kernel,
}

/// How the first program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(u8),
    Signalled(u8),
}

impl End {
    /// The status that a shell shows for it.
    pub fn status(self) -> u8 {
        match self {
            End::Exited(status) => status,
            End::Signalled(signal) => 128 + signal,
        }
    }

    /// The guest's number: a status, or 256 and a signal.
    fn of_number(number: u16) -> End {
        match number.checked_sub(256) {
            None => End::Exited(number as u8),
            Some(signal) => End::Signalled(signal.min(127) as u8),
        }
    }
}

/// What the guest said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Bytes(Stream, Vec<u8>),
    /// It listens: input sent before would be lost.
    Listening,
    /// The first program's end; the last event.
    Exit(End),
}

#[derive(Clone, Copy)]
enum State {
    Text,
    Control,
    /// In the number of an end, with its digits so far.
    End(u16, u8),
}

/// Takes the guest's bytes in any pieces.
pub struct Decoder {
    stream: Stream,
    state: State,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            stream: Stream::Firmware,
            state: State::Text,
        }
    }
}

impl Decoder {
    /// Decodes one piece. An unknown control is passed over: the guest may be dying in the middle of one.
    pub fn decode(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut text = Vec::new();
        for &byte in bytes {
            match self.state {
                State::Text if byte == DLE => self.state = State::Control,
                State::Text => text.push(byte),
                State::Control => {
                    self.state = State::Text;
                    match byte {
                        DLE => text.push(DLE),
                        b'o' => self.switch(Stream::Output, &mut text, &mut events),
                        b'e' => self.switch(Stream::Error, &mut text, &mut events),
                        b'k' => self.switch(Stream::Kernel, &mut text, &mut events),
                        b'r' => {
                            self.flush(&mut text, &mut events);
                            events.push(Event::Listening);
                        }
                        b'x' => self.state = State::End(0, 0),
                        _ => {}
                    }
                }
                State::End(number, digits) if byte.is_ascii_digit() => {
                    let number = number * 10 + u16::from(byte - b'0');
                    self.state = State::End(number, digits + 1);
                    if digits == 2 {
                        self.flush(&mut text, &mut events);
                        events.push(Event::Exit(End::of_number(number)));
                        self.state = State::Text;
                    }
                }
                State::End(..) => self.state = State::Text,
            }
        }
        self.flush(&mut text, &mut events);
        events
    }

    fn switch(&mut self, stream: Stream, text: &mut Vec<u8>, events: &mut Vec<Event>) {
        self.flush(text, events);
        self.stream = stream;
    }

    fn flush(&self, text: &mut Vec<u8>, events: &mut Vec<Event>) {
        if !text.is_empty() {
            events.push(Event::Bytes(self.stream, std::mem::take(text)));
        }
    }
}

/// Input as the guest reads it: a DLE doubled.
pub fn encode(input: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(input.len());
    for &byte in input {
        bytes.push(byte);
        if byte == DLE {
            bytes.push(DLE);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(stream: Stream, text: &[u8]) -> Event {
        Event::Bytes(stream, text.to_vec())
    }

    const SESSION: &[u8] = b"firmware\n\x10kboot\n\x10r\x10oout\x10\x10put\x10eerr\x10kkernel\x10x042";

    fn expected() -> Vec<Event> {
        vec![
            bytes(Stream::Firmware, b"firmware\n"),
            bytes(Stream::Kernel, b"boot\n"),
            Event::Listening,
            bytes(Stream::Output, b"out\x10put"),
            bytes(Stream::Error, b"err"),
            bytes(Stream::Kernel, b"kernel"),
            Event::Exit(End::Exited(42)),
        ]
    }

    #[test]
    fn a_session_in_one_piece() {
        assert_eq!(Decoder::default().decode(SESSION), expected());
    }

    #[test]
    fn a_session_cut_anywhere() {
        for cut in 0..=SESSION.len() {
            let mut decoder = Decoder::default();
            let mut events = decoder.decode(&SESSION[..cut]);
            for event in decoder.decode(&SESSION[cut..]) {
                match (events.last_mut(), event) {
                    (Some(Event::Bytes(last, text)), Event::Bytes(stream, more)) if *last == stream => {
                        text.extend(more);
                    }
                    (_, event) => events.push(event),
                }
            }
            assert_eq!(events, expected(), "cut at {cut}");
        }
    }

    #[test]
    fn an_end_by_a_signal() {
        let events = Decoder::default().decode(b"\x10x262");
        assert_eq!(events, [Event::Exit(End::Signalled(6))]);
        assert_eq!(End::Signalled(6).status(), 134);
    }

    #[test]
    fn unknown_controls_and_broken_statuses_are_passed_over() {
        let events = Decoder::default().decode(b"a\x10?b\x10x1!c");
        assert_eq!(events, [bytes(Stream::Firmware, b"abc")]);
    }

    #[test]
    fn input_doubles_the_control_byte() {
        assert_eq!(encode(b"a\x10b"), b"a\x10\x10b");
        // What was encoded decodes to itself.
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(
            Decoder::default().decode(&encode(&all)),
            [bytes(Stream::Firmware, &all)]
        );
    }
}
