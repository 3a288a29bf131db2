//! Hands the machine's linker script to the linker.

fn main() {
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let os = std::env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it");
    if os == "none" {
        let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo:rustc-link-arg-bins=-T{folder}/src/arch/{arch}/linker.ld");
        println!("cargo:rerun-if-changed=src/arch/{arch}/linker.ld");
    }
}
