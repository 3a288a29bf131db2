//! Random programs. The generator keeps an idea of which descriptors there are, so that most calls mean something; it is
//! only an idea, and wrong arguments come in on purpose.

use super::random::Random;

/// What a name stands for when all has gone well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Epoll,
    Event,
    PipeRead,
    PipeWrite,
    Stream,
    Packet,
    Timer,
    Signal,
    Queue,
}

struct Known {
    name: String,
    kind: Kind,
    open: bool,
}

struct Generator {
    random: Random,
    lines: Vec<String>,
    known: Vec<Known>,
    /// Kinds this program has.
    kinds: Vec<Kind>,
    /// How often, of a hundred lines, everything is looked at. Looking changes what it looks at: an epoll forgets what is
    /// not ready any more.
    looks: usize,
    /// Blocks that are open.
    depth: usize,
}

const KINDS: &[(usize, Kind)] = &[
    (6, Kind::Epoll),
    (8, Kind::Event),
    (8, Kind::PipeRead),
    (8, Kind::Stream),
    (3, Kind::Packet),
    (3, Kind::Timer),
    (3, Kind::Signal),
    (3, Kind::Queue),
];

/// Program `number` of a seed, line by line.
pub fn program(seed: u64, number: u64) -> Vec<String> {
    let mut random = Random::new(seed, number);
    let kinds = (0..1 + random.below(4)).map(|_| random.weighted(KINDS)).collect();
    let looks = random.pick(&[0, 0, 10, 30, 100]);
    let length = 8 + random.below(40);
    let mut generator = Generator {
        random,
        lines: Vec::new(),
        known: Vec::new(),
        kinds,
        looks,
        depth: 0,
    };
    generator.create(Kind::Epoll);
    for kind in generator.kinds.clone() {
        generator.create(kind);
    }
    while generator.lines.len() < length {
        generator.step();
    }
    generator.finish();
    generator.lines
}

impl Generator {
    fn say(&mut self, line: String) {
        self.lines.push(line);
        if self.random.chance(self.looks) {
            self.lines.push("look".to_string());
        }
    }

    fn step(&mut self) {
        let step = self.random.weighted(&[
            (7, Generator::create_some as fn(&mut Generator)),
            (26, Generator::control),
            (24, Generator::wait),
            (34, Generator::act),
            (6, Generator::close),
            (4, Generator::duplicate),
            (3, Generator::poll),
            (4, Generator::ask),
            (3, Generator::block),
        ]);
        step(self);
    }

    /// What all is like in the end.
    fn finish(&mut self) {
        for _ in 0..self.depth {
            self.lines.push("end".to_string());
        }
        let epolls: Vec<String> = self
            .known
            .iter()
            .filter(|known| known.kind == Kind::Epoll)
            .map(|known| known.name.clone())
            .collect();
        self.lines.push("look".to_string());
        for epoll in epolls {
            self.lines.push(format!("wait {epoll} 8"));
            self.lines.push(format!("wait {epoll} 8"));
        }
    }

    fn number(&self) -> usize {
        self.known.len()
    }

    fn remember(&mut self, name: &str, kind: Kind) {
        self.known.push(Known {
            name: name.to_string(),
            kind,
            open: true,
        });
    }

    fn create_some(&mut self) {
        let kinds = self.kinds.clone();
        let kind = if self.random.chance(25) {
            Kind::Epoll
        } else {
            self.random.pick(&kinds)
        };
        self.create(kind);
    }

    fn create(&mut self, kind: Kind) {
        let number = self.number();
        let flags = self.random.weighted(&[
            (90, "nonblock"),
            (4, "nonblock|cloexec"),
            (4, "0"),
            (2, "nonblock|0x10"),
        ]);
        let (prefixes, call): (&[(&str, Kind)], String) = match kind {
            Kind::Epoll => {
                let flags = self.random.weighted(&[(90, "0"), (8, "cloexec"), (2, "nonblock")]);
                (&[("ep", Kind::Epoll)], format!("epoll {flags}"))
            }
            Kind::Event => {
                let value = self.random.pick(&[0, 0, 1, 3]);
                let semaphore = if self.random.chance(25) { "|semaphore" } else { "" };
                (&[("ev", Kind::Event)], format!("eventfd {value} {flags}{semaphore}"))
            }
            Kind::PipeRead | Kind::PipeWrite => {
                let packets = if self.random.chance(8) { "|direct" } else { "" };
                (
                    &[("r", Kind::PipeRead), ("w", Kind::PipeWrite)],
                    format!("pipe {flags}{packets}"),
                )
            }
            Kind::Stream => (
                &[("s", Kind::Stream), ("t", Kind::Stream)],
                format!("pair stream {flags}"),
            ),
            Kind::Packet => (
                &[("p", Kind::Packet), ("q", Kind::Packet)],
                format!("pair packet {flags}"),
            ),
            Kind::Timer => {
                let clock = self
                    .random
                    .weighted(&[(60, 1), (20, 0), (15, 7), (2, 2), (2, -1), (1, 40)]);
                (&[("tm", Kind::Timer)], format!("timerfd {clock} {flags}"))
            }
            Kind::Signal => {
                let set = self.signals();
                (&[("sg", Kind::Signal)], format!("signalfd -1 {set} {flags}"))
            }
            Kind::Queue => {
                let maximum = self.random.weighted(&[(30, 1), (40, 2), (27, 3), (2, 0), (1, -1)]);
                (&[("mq", Kind::Queue)], format!("queue {maximum} {flags}"))
            }
        };
        let names: Vec<String> = prefixes.iter().map(|(prefix, _)| format!("{prefix}{number}")).collect();
        self.say(format!("{} = {call}", names.join(" ")));
        for (name, &(_, kind)) in names.iter().zip(prefixes) {
            self.remember(name, kind);
        }
    }

    fn signals(&mut self) -> &'static str {
        self.random
            .pick(&["usr1", "usr1|usr2", "usr2", "chld", "usr1|chld|pipe", "rt", "usr1|rt"])
    }

    /// A descriptor that `wanted` holds for: mostly an open one, sometimes any, seldom a number that is none.
    fn any(&mut self, wanted: impl Fn(Kind) -> bool) -> String {
        if self.random.chance(1) {
            return self.random.pick(&["-1", "30", "100", "0x7fffffff"]).to_string();
        }
        let surprise = self.random.chance(4);
        let candidates: Vec<&Known> = self
            .known
            .iter()
            .filter(|known| surprise || known.open && wanted(known.kind))
            .collect();
        match candidates.len() {
            0 => self.known[self.random.below(self.known.len())].name.clone(),
            count => candidates[self.random.below(count)].name.clone(),
        }
    }

    fn epoll(&mut self) -> String {
        self.any(|kind| kind == Kind::Epoll)
    }

    fn events(&mut self) -> String {
        let mut events = self.random.weighted(&[
            (30, "in"),
            (15, "out"),
            (20, "in|out"),
            (10, "in|rdhup"),
            (4, "in|out|rdhup|pri"),
            (3, "rdnorm"),
            (3, "wrnorm|wrband"),
            (4, "0"),
            (2, "hup|err"),
            (1, "nval|msg"),
            (1, "0xfffffff"),
        ]);
        if events == "0" && self.random.chance(50) {
            events = "rdhup";
        }
        let mut events = events.to_string();
        for (percent, flag) in [(40, "|et"), (12, "|oneshot"), (8, "|exclusive"), (2, "|wakeup")] {
            if self.random.chance(percent) {
                events += flag;
            }
        }
        events
    }

    fn control(&mut self) {
        let epoll = self.epoll();
        let nested = self.random.chance(20);
        let fd = self.any(|kind| (kind == Kind::Epoll) == nested);
        let operation = self
            .random
            .weighted(&[(60, "add"), (25, "mod"), (12, "del"), (1, "0"), (1, "4")]);
        let events = self.events();
        let rest = self.random.weighted(&[
            (90, ""),
            (6, " as other"),
            (2, " null"),
            (1, " unmapped"),
            (1, " kernel"),
        ]);
        self.say(format!("ctl {epoll} {operation} {fd} {events}{rest}"));
    }

    fn wait(&mut self) {
        let epoll = self.epoll();
        let max = self.random.weighted(&[
            (60, "8"),
            (20, "1"),
            (12, "2"),
            (3, "3"),
            (1, "0"),
            (1, "-1"),
            (1, "max"),
        ]);
        let rest = self.random.weighted(&[
            (92, ""),
            (3, " room 0"),
            (2, " room 1"),
            (1, " null"),
            (1, " kernel"),
            (1, " readonly"),
        ]);
        self.say(format!("wait {epoll} {max}{rest}"));
    }

    /// Something that changes an object.
    fn act(&mut self) {
        let fd = self.any(|kind| kind != Kind::Epoll);
        let kind = self
            .known
            .iter()
            .find(|known| known.name == fd)
            .map_or(Kind::Event, |known| known.kind);
        let line = match kind {
            Kind::Epoll => self.transfer(&fd),
            Kind::Event if self.random.chance(55) => {
                let value = self
                    .random
                    .weighted(&[(60, "1"), (10, "0"), (10, "7"), (8, "-2"), (5, "-1"), (5, "-9")]);
                format!("put {fd} {value}")
            }
            Kind::Event => {
                let size = self.random.weighted(&[(85, 8), (5, 7), (5, 16), (5, 0)]);
                format!("read {fd} {size}")
            }
            Kind::Timer if self.random.chance(60) => {
                let how = self.random.weighted(&[
                    (50, "past"),
                    (15, "far"),
                    (15, "off"),
                    (15, "periodic"),
                    (2, "wrong"),
                    (2, "negative"),
                ]);
                let flags = self.random.weighted(&[(95, 0), (2, 4), (1, 8)]);
                format!("arm {fd} {how} {flags}")
            }
            Kind::Timer if self.random.chance(30) => format!("left {fd}"),
            Kind::Timer => format!("read {fd} 8"),
            Kind::Signal if self.random.chance(50) => {
                let signal = self
                    .random
                    .weighted(&[(50, "usr1"), (25, "usr2"), (20, "rt"), (3, "0"), (2, "65")]);
                format!("kill {signal}")
            }
            Kind::Signal if self.random.chance(20) => {
                let set = self.signals();
                format!("signalfd {fd} {set} nonblock")
            }
            Kind::Signal => {
                let size = self.random.weighted(&[(80, 128), (10, 300), (5, 127), (5, 0)]);
                format!("read {fd} {size}")
            }
            Kind::Queue if self.random.chance(50) => {
                let size = self.random.weighted(&[(80, 1), (10, 16), (5, 17), (5, 0)]);
                let priority = self.random.weighted(&[(50, 0), (40, 1), (8, 32767), (2, 32768)]);
                format!("post {fd} {size} {priority}")
            }
            Kind::Queue if self.random.chance(90) => {
                let size = self.random.weighted(&[(90, 16), (5, 15), (5, 100)]);
                format!("take {fd} {size}")
            }
            Kind::Queue | Kind::PipeRead | Kind::PipeWrite | Kind::Stream | Kind::Packet => self.transfer(&fd),
        };
        self.say(line);
    }

    /// A read, a write or a shutdown, whatever the descriptor can do.
    fn transfer(&mut self, fd: &str) -> String {
        let is_socket = fd.starts_with(['s', 't', 'p', 'q']);
        if is_socket && self.random.chance(8) {
            let how = self.random.weighted(&[(30, 0), (40, 1), (25, 2), (3, 3)]);
            return format!("shutdown {fd} {how}");
        }
        let writes = match fd.as_bytes().first() {
            Some(b'r') => self.random.chance(3),
            Some(b'w') => !self.random.chance(3),
            _ => self.random.chance(55),
        };
        let sizes: &[(usize, &str)] = if is_socket {
            &[(30, "1"), (30, "10"), (20, "100"), (5, "4000"), (4, "0")]
        } else {
            &[
                (30, "1"),
                (20, "100"),
                (8, "4095"),
                (12, "4096"),
                (6, "4097"),
                (10, "65536"),
                (6, "70000"),
                (6, "61440"),
                (3, "0"),
            ]
        };
        let size = self.random.weighted(sizes);
        let rest = self
            .random
            .weighted(&[(96, ""), (1, " null"), (1, " kernel"), (1, " room 0"), (1, " room 50")]);
        match (writes, is_socket && self.random.chance(40)) {
            (true, false) => format!("write {fd} {size}{rest}"),
            (false, false) => format!("read {fd} {size}{rest}"),
            (true, true) => format!("send {fd} {size}"),
            (false, true) => {
                let flags = self.random.weighted(&[(60, "0"), (30, "peek"), (10, "trunc")]);
                format!("receive {fd} {size} {flags}")
            }
        }
    }

    fn close(&mut self) {
        let fd = self.any(|_| true);
        for known in self.known.iter_mut().filter(|known| known.name == fd) {
            known.open = false;
        }
        self.say(format!("close {fd}"));
    }

    fn duplicate(&mut self) {
        let fd = self.any(|_| true);
        let Some(at) = self.known.iter().position(|known| known.name == fd) else {
            return;
        };
        let kind = self.known[at].kind;
        // The name says what it is, for `transfer`, and that it is a copy.
        let prefix: String = fd.chars().take_while(char::is_ascii_alphabetic).collect();
        let name = format!("{prefix}{}d", self.number());
        let line = match self.random.below(4) {
            0 | 1 => format!("{name} = dup {fd}"),
            2 => format!("{name} = dupfd {fd} {}", self.random.pick(&[0, 9, 20])),
            _ => {
                let to = self.any(|_| true);
                let flags = self.random.weighted(&[(80, "0"), (15, "cloexec"), (5, "nonblock")]);
                format!("{name} = dup3 {fd} {to} {flags}")
            }
        };
        self.say(line);
        self.remember(&name, kind);
    }

    fn poll(&mut self) {
        let mut line = "poll".to_string();
        for _ in 0..1 + self.random.below(3) {
            let fd = self.any(|_| true);
            let events = self
                .random
                .pick(&["in", "out", "in|out", "0", "in|rdhup|pri", "rdnorm|wrnorm", "0x27ff"]);
            line += &format!(" {fd}:{events}");
        }
        self.say(line);
    }

    /// Flags and figures of a descriptor.
    fn ask(&mut self) {
        let fd = self.any(|_| true);
        let line = match self.random.below(10) {
            0..=2 => format!("unread {fd}"),
            3 => format!("getfl {fd}"),
            4 => format!("getfd {fd}"),
            5 => format!("setfd {fd} {}", self.random.below(2)),
            6 => {
                let flags = self.random.pick(&["nonblock", "0", "nonblock|direct"]);
                format!("setfl {fd} {flags}")
            }
            7 => {
                let size = self.random.pick(&[0, 1, 4096, 8192, 100_000, 65536]);
                format!("pipesize {fd} {size}")
            }
            8 => format!("seek {fd}"),
            _ => format!("left {fd}"),
        };
        self.say(line);
    }

    fn block(&mut self) {
        if self.depth > 0 && self.random.chance(60) {
            self.depth -= 1;
            self.say("end".to_string());
        } else if self.depth < 3 {
            self.depth += 1;
            let block = self.random.pick(&["fork", "hold"]);
            self.lines.push(block.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_whole_and_repeatable() {
        for number in 0..500 {
            let lines = program(7, number);
            assert_eq!(lines, program(7, number));
            let starts = lines.iter().filter(|line| matches!(line.as_str(), "fork" | "hold"));
            let ends = lines.iter().filter(|line| line.as_str() == "end");
            assert_eq!(starts.count(), ends.count(), "program {number}");
        }
    }
}
