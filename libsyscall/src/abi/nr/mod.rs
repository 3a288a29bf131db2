//! System-call numbers of the machine compiled for.

macro_rules! numbers {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        $(pub const $name: usize = $number;)*

        /// The call's name in the manual, `None` for a number that is no call.
        pub fn name(number: usize) -> Option<&'static str> {
            match number {
                $($number => Some($text),)*
                _ => None,
            }
        }
    };
}
use numbers;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
