//! The boot doors.
