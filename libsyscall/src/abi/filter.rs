//! Socket filters, classic BPF: SO_ATTACH_FILTER of socket(7).

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Its class, and what that makes of the other bits.
    pub code: u16,
    /// Instructions to pass over where a condition holds, and where it does not.
    pub jump_true: u8,
    pub jump_false: u8,
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

impl Instruction {
    /// As it lies in memory, read as one number.
    pub fn from_bits(bits: u64) -> Instruction {
        Instruction {
            code: bits as u16,
            jump_true: (bits >> 16) as u8,
            jump_false: (bits >> 24) as u8,
            k: (bits >> 32) as u32,
        }
    }

    pub fn bits(self) -> u64 {
        u64::from(self.code)
            | u64::from(self.jump_true) << 16
            | u64::from(self.jump_false) << 24
            | u64::from(self.k) << 32
    }
}

/// sizeof(struct sock_fprog): a 16-bit count, a gap, where the instructions are.
pub const SOCK_FPROG_LEN: usize = 16;
/// BPF_MAXINSNS.
pub const INSTRUCTIONS_MAX: usize = 4096;
/// BPF_MEMWORDS: cells of the scratch memory.
pub const CELLS: usize = 16;

/// Classes.
pub const BPF_LD: u16 = 0;
pub const BPF_LDX: u16 = 1;
pub const BPF_ST: u16 = 2;
pub const BPF_STX: u16 = 3;
pub const BPF_ALU: u16 = 4;
pub const BPF_JMP: u16 = 5;
pub const BPF_RET: u16 = 6;
pub const BPF_MISC: u16 = 7;
/// Widths of a load.
pub const BPF_W: u16 = 0;
pub const BPF_H: u16 = 0x08;
pub const BPF_B: u16 = 0x10;
/// Where a load comes from.
pub const BPF_IMM: u16 = 0;
pub const BPF_ABS: u16 = 0x20;
pub const BPF_IND: u16 = 0x40;
pub const BPF_MEM: u16 = 0x60;
pub const BPF_LEN: u16 = 0x80;
pub const BPF_MSH: u16 = 0xa0;
/// What is computed.
pub const BPF_ADD: u16 = 0;
pub const BPF_SUB: u16 = 0x10;
pub const BPF_MUL: u16 = 0x20;
pub const BPF_DIV: u16 = 0x30;
pub const BPF_OR: u16 = 0x40;
pub const BPF_AND: u16 = 0x50;
pub const BPF_LSH: u16 = 0x60;
pub const BPF_RSH: u16 = 0x70;
pub const BPF_NEG: u16 = 0x80;
pub const BPF_MOD: u16 = 0x90;
pub const BPF_XOR: u16 = 0xa0;
/// Jumps.
pub const BPF_JA: u16 = 0;
pub const BPF_JEQ: u16 = 0x10;
pub const BPF_JGT: u16 = 0x20;
pub const BPF_JGE: u16 = 0x30;
pub const BPF_JSET: u16 = 0x40;
/// The other operand: the instruction's own number, or X. RET also takes A.
pub const BPF_K: u16 = 0;
pub const BPF_X: u16 = 0x08;
pub const BPF_A: u16 = 0x10;
pub const BPF_TAX: u16 = 0;
pub const BPF_TXA: u16 = 0x80;

/// Offsets of a load that are no place in the packet: facts about it, its network header, its link's.
pub const SKF_AD_OFF: i32 = -0x1000;
pub const SKF_NET_OFF: i32 = -0x10_0000;
pub const SKF_LL_OFF: i32 = -0x20_0000;
/// Facts, from SKF_AD_OFF on.
pub const SKF_AD_PROTOCOL: u32 = 0;
pub const SKF_AD_PKTTYPE: u32 = 4;
pub const SKF_AD_IFINDEX: u32 = 8;
pub const SKF_AD_MARK: u32 = 20;
pub const SKF_AD_QUEUE: u32 = 24;
pub const SKF_AD_HATYPE: u32 = 28;
pub const SKF_AD_RXHASH: u32 = 32;
pub const SKF_AD_CPU: u32 = 36;
pub const SKF_AD_ALU_XOR_X: u32 = 40;
pub const SKF_AD_VLAN_TAG: u32 = 44;
pub const SKF_AD_VLAN_TAG_PRESENT: u32 = 48;
pub const SKF_AD_PAY_OFFSET: u32 = 52;
pub const SKF_AD_RANDOM: u32 = 56;
pub const SKF_AD_VLAN_TPID: u32 = 60;
/// Where they end: SO_BPF_EXTENSIONS.
pub const SKF_AD_MAX: u32 = 64;
