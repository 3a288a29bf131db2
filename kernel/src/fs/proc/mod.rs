//! /proc.
use super::Place;
use libsyscall::abi::Errno;
pub fn mount(_root: &Place) -> Result<(), Errno> {
    Ok(())
}
