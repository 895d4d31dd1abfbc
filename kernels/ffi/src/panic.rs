//! What happens on a panic, which only a defect of ours could cause: the program is stopped where it stands.

use core::panic::PanicInfo;

/// Traps. There is nobody to tell, and C has no way to catch.
#[panic_handler]
fn trap(_: &PanicInfo<'_>) -> ! {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    // SAFETY: an undefined instruction, which touches no memory and does not return.
    unsafe {
        core::arch::asm!("ud2", options(noreturn, nomem, nostack))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a breakpoint that nobody handles; it touches no memory and does not return.
    unsafe {
        core::arch::asm!("brk #1", options(noreturn, nomem, nostack))
    }
    #[cfg(target_arch = "arm")]
    // SAFETY: an undefined instruction, which touches no memory and does not return.
    unsafe {
        core::arch::asm!("udf #0", options(noreturn, nomem, nostack))
    }
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "wasm32"
    )))]
    loop {}
}
