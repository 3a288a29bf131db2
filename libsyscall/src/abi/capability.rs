//! capabilities(7), capset(2) in numbers: which bit stands for what. Those are here that the kernel asks for.

pub const CAP_CHOWN: u32 = 0;
pub const CAP_DAC_OVERRIDE: u32 = 1;
pub const CAP_DAC_READ_SEARCH: u32 = 2;
pub const CAP_FOWNER: u32 = 3;
pub const CAP_FSETID: u32 = 4;
pub const CAP_KILL: u32 = 5;
pub const CAP_SETGID: u32 = 6;
pub const CAP_SETUID: u32 = 7;
pub const CAP_SETPCAP: u32 = 8;
pub const CAP_LINUX_IMMUTABLE: u32 = 9;
pub const CAP_NET_ADMIN: u32 = 12;
pub const CAP_NET_RAW: u32 = 13;
pub const CAP_SYS_CHROOT: u32 = 18;
pub const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;
pub const CAP_SYS_NICE: u32 = 23;
pub const CAP_SYS_RESOURCE: u32 = 24;
pub const CAP_SYS_TIME: u32 = 25;
pub const CAP_SYS_TTY_CONFIG: u32 = 26;
pub const CAP_MKNOD: u32 = 27;
pub const CAP_MAC_OVERRIDE: u32 = 32;
pub const CAP_WAKE_ALARM: u32 = 35;
/// CAP_CHECKPOINT_RESTORE.
pub const CAP_LAST: u32 = 40;

/// "The securebits flags": for each a second bit, the next one, which locks it.
pub const SECBIT_NOROOT: u32 = 1 << 0;
pub const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
pub const SECBIT_KEEP_CAPS: u32 = 1 << 4;
pub const SECBIT_KEEP_CAPS_LOCKED: u32 = 1 << 5;
pub const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
pub const SECBIT_EXEC_RESTRICT_FILE: u32 = 1 << 8;
pub const SECBIT_EXEC_DENY_INTERACTIVE: u32 = 1 << 10;
/// Those that no kernel enforces: interpreters ask for them.
pub const SECURE_ALL_UNPRIVILEGED: u32 = SECBIT_EXEC_RESTRICT_FILE | SECBIT_EXEC_DENY_INTERACTIVE;
pub const SECURE_ALL_BITS: u32 =
    SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS | SECBIT_NO_CAP_AMBIENT_RAISE | SECURE_ALL_UNPRIVILEGED;
pub const SECURE_ALL_LOCKS: u32 = SECURE_ALL_BITS << 1;

/// Sets of 32 capabilities.
pub const CAPABILITY_VERSION_1: u32 = 0x1998_0330;
/// Sets of 64, as two halves.
pub const CAPABILITY_VERSION_2: u32 = 0x2007_1026;
pub const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// What capget(2) and capset(2) take first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CapabilityHeader {
    pub version: u32,
    pub pid: i32,
}

/// A half of the sets, the low one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CapabilityData {
    pub effective: u32,
    pub permitted: u32,
    pub inheritable: u32,
}

const _: () = assert!(size_of::<CapabilityHeader>() == 8 && size_of::<CapabilityData>() == 12);
