//! Exceptions and interrupts: the registers saved, and the way up to `crate::trap`.

/// The registers of user code, as they lie on top of its thread's kernel stack.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TrapFrame {}

impl TrapFrame {
    /// What a program starts with: `ip`, `sp`, everything else zero, user mode, interrupts on.
    pub fn new_user(_ip: usize, _sp: usize) -> TrapFrame {
        todo!()
    }
    pub fn syscall_number(&self) -> usize {
        todo!()
    }
    /// System-call argument 0 to 5.
    pub fn argument(&self, _n: usize) -> usize {
        todo!()
    }
    /// What the system call returns: the value, or minus the error number.
    pub fn set_result(&mut self, _value: isize) {
        todo!()
    }
    pub fn result(&self) -> isize {
        todo!()
    }
    /// Goes back onto the system-call instruction with its original number and arguments.
    pub fn restart_syscall(&mut self) {
        todo!()
    }
    pub fn ip(&self) -> usize {
        todo!()
    }
    pub fn sp(&self) -> usize {
        todo!()
    }
    pub fn set_ip(&mut self, _ip: usize) {
        todo!()
    }
    pub fn set_sp(&mut self, _sp: usize) {
        todo!()
    }
}
