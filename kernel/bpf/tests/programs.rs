//! Programs that are checked and run. What is expected here is what Linux does with the same ones.

use bpf::{Device, Packet, Program};
use libsyscall::abi::filter::*;

const RETURN_A: Instruction = with(BPF_RET | BPF_A, 0);

const fn with(code: u16, k: u32) -> Instruction {
    jump(code, 0, 0, k)
}

const fn jump(code: u16, jump_true: u8, jump_false: u8, k: u32) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        k,
    }
}

/// What a program says to a packet that came by an interface, or to one that did not.
fn answer(program: &[Instruction], has_device: bool) -> u32 {
    let packet = Packet {
        link: if has_device { b"link's header." } else { b"" },
        network: if has_device { b"net" } else { b"" },
        transport: b"HEAD",
        payload: b"01234567",
        protocol: 0x800,
        device: has_device.then_some(Device { number: 5, kind: 772 }),
        mark: 77,
        cpu: 3,
        random: &|| 0x1234,
    };
    Program::new(program.to_vec()).expect("a program").run(&packet)
}

/// What is in A after some instructions.
fn a_after(program: &[Instruction]) -> u32 {
    answer(&[program, &[RETURN_A]].concat(), true)
}

fn load(width: u16, place: i32) -> u32 {
    a_after(&[with(BPF_LD | width | BPF_ABS, place as u32)])
}

#[test]
fn loads() {
    assert_eq!(load(BPF_B, 0), u32::from(b'H'));
    assert_eq!(load(BPF_H, 3), u32::from_be_bytes(*b"\0\0D0"));
    assert_eq!(load(BPF_W, 8), u32::from_be_bytes(*b"4567"));
    assert_eq!(a_after(&[with(BPF_LD | BPF_LEN, 0)]), 12);
    let from_x = |x: i32, k: i32| {
        a_after(&[
            with(BPF_LDX | BPF_IMM, x as u32),
            with(BPF_LD | BPF_B | BPF_IND, k as u32),
        ])
    };
    assert_eq!(from_x(2, 3), u32::from(b'1'));
    assert_eq!(from_x(-16, 20), u32::from(b'0'));
    // Further out.
    assert_eq!(load(BPF_W, SKF_NET_OFF + 1), u32::from_be_bytes(*b"etHE"));
    assert_eq!(load(BPF_H, SKF_LL_OFF + 13), u32::from_be_bytes(*b"\0\0.n"));
    // Not in the packet: it is dropped, whatever comes then.
    let whole = with(BPF_RET | BPF_K, 100);
    for place in [9, 12, -1, SKF_NET_OFF - 1 - 0x10_0000, SKF_NET_OFF + 0xf0_000] {
        let out = [
            with(BPF_LDX | BPF_IMM, place as u32),
            with(BPF_LD | BPF_W | BPF_IND, 0),
            whole,
        ];
        assert_eq!(answer(&out, true), 0, "{place}");
    }
    assert_eq!(
        answer(&[with(BPF_LD | BPF_B | BPF_ABS, SKF_LL_OFF as u32), whole], false),
        0
    );
}

#[test]
fn facts() {
    for (fact, value) in [
        (SKF_AD_PROTOCOL, 0x800),
        (SKF_AD_PKTTYPE, 0),
        (SKF_AD_IFINDEX, 5),
        (SKF_AD_MARK, 77),
        (SKF_AD_HATYPE, 772),
        (SKF_AD_CPU, 3),
        (SKF_AD_PAY_OFFSET, 4),
        (SKF_AD_RANDOM, 0x1234),
    ] {
        assert_eq!(load(BPF_W, SKF_AD_OFF + fact as i32), value, "{fact}");
    }
    let with_x = [
        with(BPF_LD | BPF_IMM, 0x35),
        with(BPF_LDX | BPF_IMM, 0xf),
        with(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF as u32 + SKF_AD_ALU_XOR_X),
    ];
    assert_eq!(a_after(&with_x), 0x3a);
    // The interface of what came by none: A as it is ends the program.
    let device = [
        with(BPF_LD | BPF_IMM, 11),
        with(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF as u32 + SKF_AD_IFINDEX),
        with(BPF_RET | BPF_K, 99),
    ];
    assert_eq!(answer(&device, false), 11);
}

#[test]
fn arithmetic() {
    for (operation, a, b, result) in [
        (BPF_ADD, u32::MAX, 2, 1),
        (BPF_SUB, 1, 2, u32::MAX),
        (BPF_MUL, 1 << 31, 6, 0),
        (BPF_DIV, 7, 2, 3),
        (BPF_MOD, 7, 4, 3),
        (BPF_OR, 6, 3, 7),
        (BPF_AND, 6, 3, 2),
        (BPF_XOR, 6, 3, 5),
        (BPF_LSH, 5, 31, 1 << 31),
        (BPF_RSH, 1 << 31, 31, 1),
    ] {
        let start = with(BPF_LD | BPF_IMM, a);
        let by_k = a_after(&[start, with(BPF_ALU | operation | BPF_K, b)]);
        let by_x = a_after(&[start, with(BPF_LDX | BPF_IMM, b), with(BPF_ALU | operation | BPF_X, 0)]);
        assert_eq!((by_k, by_x), (result, result), "operation {operation:#x}");
    }
    assert_eq!(
        a_after(&[with(BPF_LD | BPF_IMM, 9), with(BPF_ALU | BPF_NEG, 0)]),
        9u32.wrapping_neg()
    );
    // X is nothing at first. A division by that drops the packet; a shift is by its last five bits.
    for operation in [BPF_DIV, BPF_MOD] {
        let program = [with(BPF_ALU | operation | BPF_X, 0), with(BPF_RET | BPF_K, 9)];
        assert_eq!(answer(&program, true), 0);
    }
    let far = [
        with(BPF_LD | BPF_IMM, 5),
        with(BPF_LDX | BPF_IMM, 33),
        with(BPF_ALU | BPF_LSH | BPF_X, 0),
    ];
    assert_eq!(a_after(&far), 10);
}

#[test]
fn registers_and_cells() {
    let program = [
        with(BPF_LD | BPF_IMM, 7),
        with(BPF_ST, 15),
        with(BPF_MISC | BPF_TAX, 0),
        with(BPF_STX, 0),
        with(BPF_LD | BPF_IMM, 1),
        with(BPF_LD | BPF_MEM, 15),
        with(BPF_LDX | BPF_MEM, 0),
        with(BPF_ALU | BPF_ADD | BPF_X, 0),
    ];
    assert_eq!(a_after(&program), 14);
    assert_eq!(a_after(&[with(BPF_LDX | BPF_LEN, 0), with(BPF_MISC | BPF_TXA, 0)]), 12);
    // `4`, whose last four bits count words.
    assert_eq!(
        a_after(&[with(BPF_LDX | BPF_B | BPF_MSH, 8), with(BPF_MISC | BPF_TXA, 0)]),
        16
    );
}

#[test]
fn jumps() {
    for (condition, a, k, expected) in [
        (BPF_JEQ, 5, 5, true),
        (BPF_JEQ, 5, 6, false),
        (BPF_JGT, 6, 5, true),
        (BPF_JGT, 5, 5, false),
        (BPF_JGE, 5, 5, true),
        (BPF_JGE, u32::MAX, 5, true),
        (BPF_JSET, 6, 2, true),
        (BPF_JSET, 6, 1, false),
    ] {
        let ends = [with(BPF_RET | BPF_K, 1), with(BPF_RET | BPF_K, 2)];
        let start = with(BPF_LD | BPF_IMM, a);
        let by_k = [&[start, jump(BPF_JMP | condition | BPF_K, 0, 1, k)], &ends[..]].concat();
        let by_x = [
            &[
                start,
                with(BPF_LDX | BPF_IMM, k),
                jump(BPF_JMP | condition | BPF_X, 0, 1, 0),
            ],
            &ends[..],
        ]
        .concat();
        let expected = if expected { 1 } else { 2 };
        assert_eq!((answer(&by_k, true), answer(&by_x, true)), (expected, expected));
    }
    let over = [
        with(BPF_JMP | BPF_JA, 1),
        with(BPF_RET | BPF_K, 1),
        with(BPF_RET | BPF_K, 2),
    ];
    assert_eq!(answer(&over, true), 2);
}

#[test]
fn refused() {
    let end = with(BPF_RET | BPF_K, 1);
    let absolute = |place: i32| with(BPF_LD | BPF_B | BPF_ABS, place as u32);
    for (case, program) in [
        ("nothing", vec![]),
        ("no return", vec![with(BPF_LD | BPF_IMM, 1)]),
        ("a return of X", vec![with(BPF_RET | BPF_X, 0)]),
        ("too long", vec![end; INSTRUCTIONS_MAX + 1]),
        ("unknown", vec![with(0xff, 0), end]),
        ("unknown above", vec![with(0x100, 0), end]),
        ("a load by X", vec![with(BPF_LD | BPF_X, 0), end]),
        ("a negation by X", vec![with(BPF_ALU | BPF_NEG | BPF_X, 0), end]),
        ("arithmetic beyond the last", vec![with(BPF_ALU | 0xb0, 0), end]),
        ("division by nothing", vec![with(BPF_ALU | BPF_DIV, 0), end]),
        ("a rest of nothing", vec![with(BPF_ALU | BPF_MOD, 0), end]),
        ("a shift of all", vec![with(BPF_ALU | BPF_LSH, 32), end]),
        ("a jump to the end", vec![with(BPF_JMP | BPF_JA, 1), end]),
        ("a jump back", vec![with(BPF_JMP | BPF_JA, u32::MAX), end]),
        ("a condition beyond", vec![jump(BPF_JMP | BPF_JEQ, 0, 1, 0), end]),
        ("no cell", vec![with(BPF_ST, CELLS as u32), end]),
        ("a cell unwritten", vec![with(BPF_LD | BPF_MEM, 3), end]),
        ("an unknown fact", vec![absolute(SKF_AD_OFF + 1), end]),
        ("a fact beyond", vec![absolute(SKF_AD_OFF + 64), end]),
        ("below nothing", vec![absolute(-1), end]),
        (
            "a cell written on one way",
            vec![
                jump(BPF_JMP | BPF_JEQ, 1, 0, 0),
                with(BPF_ST, 3),
                with(BPF_LDX | BPF_MEM, 3),
                end,
            ],
        ),
    ] {
        assert!(Program::new(program).is_err(), "{case}");
    }
}

#[test]
fn taken() {
    let end = with(BPF_RET | BPF_K, 1);
    for (case, program) in [
        ("as long as may be", vec![end; INSTRUCTIONS_MAX]),
        ("a jump to what is next", vec![with(BPF_JMP | BPF_JA, 0), end]),
        ("exclusive or", vec![with(BPF_ALU | BPF_XOR, 0), end]),
        (
            "a cell written on both ways",
            vec![
                jump(BPF_JMP | BPF_JEQ, 0, 2, 0),
                with(BPF_ST, 3),
                with(BPF_JMP | BPF_JA, 1),
                with(BPF_STX, 3),
                with(BPF_LD | BPF_MEM, 3),
                end,
            ],
        ),
        (
            "headers further out",
            vec![with(BPF_LD | BPF_W | BPF_ABS, SKF_NET_OFF as u32), end],
        ),
    ] {
        let program = Program::new(program.clone()).unwrap_or_else(|_| panic!("{case}"));
        assert_eq!(program.instructions().last(), Some(&end));
    }
}
