//! The allocator of every program that is linked with this library, and what it says of itself.
#![allow(unsafe_code, reason = "mimalloc tells its numbers through one C function")]

use std::ptr::null_mut;

/// Many short-lived buffers on many threads: measurably faster than the system's allocator, and it gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes that it has of the system: what is in use, and what it keeps for later.
pub(crate) fn committed() -> u64 {
    let mut committed = 0_usize;
    let none = null_mut();
    // SAFETY: the function writes a number to each pointer that is not null, and keeps none of them.
    unsafe { libmimalloc_sys::mi_process_info(none, none, none, none, none, &raw mut committed, none, none) };
    committed as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted() {
        const MORE: usize = 256 << 20;
        let before = committed();
        let held = vec![1_u8; MORE];
        // Other tests may give something back meanwhile.
        assert!(committed() >= before + (MORE as u64) / 2, "{before} bytes before, {} with {MORE} more", committed());
        drop(held);
    }
}
