//! What a program without an operating system's libraries must bring along: the entry, the exit, a voice, four functions
//! that the compiler relies on, and what happens on a panic.

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {run}", "ud2", run = sym crate::run);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {run}", "brk #1", run = sym crate::run);

#[cfg(target_arch = "x86_64")]
const CALLS: (usize, usize) = (1, 60);
#[cfg(target_arch = "aarch64")]
const CALLS: (usize, usize) = (64, 93);

/// Calls the system.
fn system_call(number: usize, a: usize, b: usize, c: usize) {
    // SAFETY: the two calls that this program makes, to write and to exit, read `c` bytes at `b` at most, which their
    // callers hand in as a slice; the registers that the system overwrites are named.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => _, in("rdi") a, in("rsi") b, in("rdx") c, out("rcx") _, out("r11") _);
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => _, in("x1") b, in("x2") c);
    }
}

/// The standard error stream.
pub struct Voice;

impl Write for Voice {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        system_call(CALLS.0, 2, text.as_ptr().addr(), text.len());
        Ok(())
    }
}

/// Ends the program.
pub fn exit(code: usize) -> ! {
    system_call(CALLS.1, code, 0, 0);
    loop {}
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Voice, "{info}"); // there is nowhere else to tell
    exit(1)
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    for i in 0..len {
        // SAFETY: the caller promises `len` bytes at both. Volatile, or the compiler would see a `memcpy` in this loop.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: the caller's promise is the same, and each byte is read before it is overwritten.
        return unsafe { memcpy(to, from, len) };
    }
    for i in (0..len).rev() {
        // SAFETY: the caller promises `len` bytes at both.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    for i in 0..len {
        // SAFETY: the caller promises `len` bytes. The last byte of the number is meant.
        unsafe { to.add(i).write_volatile(byte as u8) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    for i in 0..len {
        // SAFETY: the caller promises `len` bytes at both.
        let difference = unsafe { i32::from(a.add(i).read_volatile()) - i32::from(b.add(i).read_volatile()) };
        if difference != 0 {
            return difference;
        }
    }
    0
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(a, b, len) }
}
