//! Addresses that the linker script names.
#![allow(unsafe_code)]

unsafe extern "C" {
    pub static __kernel_start: u8;
    pub static __text_end: u8;
    pub static __rodata_start: u8;
    pub static __rodata_end: u8;
    pub static __data_start: u8;
    pub static __kernel_end: u8;
}
