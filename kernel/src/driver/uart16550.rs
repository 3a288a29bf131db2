//! The 16550 at COM1.

use crate::arch::irq;
use x86_64::instructions::port::Port;

const BASE: u16 = 0x3f8;
const LINE: irq::Line = 4;

const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

const DATA_READY: u8 = 1;
const TRANSMIT_EMPTY: u8 = 1 << 5;
const FIFO_LEN: usize = 16;

fn read_register(offset: u16) -> u8 {
    // SAFETY: COM1's registers; reading them affects nothing else.
    unsafe { Port::new(BASE + offset).read() }
}

fn write_register(offset: u16, value: u8) {
    // SAFETY: as above.
    unsafe { Port::new(BASE + offset).write(value) }
}

/// 8 data bits, no parity, one stop bit, FIFOs on, the interrupt output connected.
pub fn init() {
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, 3);
    write_register(FIFO_CONTROL, 7);
    write_register(MODEM_CONTROL, 0xb);
}

pub fn write(bytes: &[u8]) {
    for chunk in bytes.chunks(FIFO_LEN) {
        while read_register(LINE_STATUS) & TRANSMIT_EMPTY == 0 {
            core::hint::spin_loop();
        }
        for &byte in chunk {
            write_register(0, byte);
        }
    }
}

pub fn read() -> Option<u8> {
    (read_register(LINE_STATUS) & DATA_READY != 0).then(|| read_register(0))
}

pub fn on_receive(handler: fn()) {
    irq::register(LINE, handler);
    set_receive_interrupt(true);
}

/// Stops or resumes asking for attention: while nobody has room, bytes wait in the line.
pub fn set_receive_interrupt(on: bool) {
    write_register(INTERRUPT_ENABLE, on as u8);
}
