//! Scratch memory of the workers, reused over all batches and queries.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use covertree_kernels::arena::Block;
use rayon::prelude::*;

/// One growing arena per worker thread.
///
/// One value may serve many builds: the second build of the same size grows nothing.
pub struct Workers {
    memory: Vec<Mutex<Vec<Block>>>,
    growths: AtomicU64,
    /// Blocks of all arenas.
    blocks: AtomicU64,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("arenas", &self.memory.len())
            .field("growths", &self.growths())
            .finish_non_exhaustive()
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self::new()
    }
}

impl Workers {
    /// Empty arenas for the threads of the current pool, and one for a thread outside of it.
    pub fn new() -> Self {
        let memory = (0..=rayon::current_num_threads()).map(|_| Mutex::default()).collect();
        Self { memory, growths: AtomicU64::new(0), blocks: AtomicU64::new(0) }
    }

    /// Grows all arenas that are free to at least `blocks`, so that no task has to: which worker takes part is then of no matter.
    pub fn reserve(&self, blocks: usize) {
        self.memory.par_iter().for_each(|memory| {
            if let Some(mut memory) = free(memory) {
                self.grow(&mut memory, blocks);
            }
        });
    }

    /// Lends the calling worker its arena, grown to at least `blocks`; it at least doubles when it grows.
    pub fn with<R>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> R) -> R {
        let worker = rayon::current_thread_index().map_or(0, |index| index + 1);
        match free(&self.memory[worker % self.memory.len()]) {
            Some(mut memory) => {
                self.grow(&mut memory, blocks);
                work(&mut memory)
            }
            None => work(&mut vec![Block::default(); blocks]),
        }
    }

    fn grow(&self, memory: &mut Vec<Block>, blocks: usize) {
        if memory.len() < blocks {
            let grown = blocks.max(2 * memory.len());
            self.blocks.fetch_add((grown - memory.len()) as u64, Ordering::Relaxed); // widens
            // Nothing is kept from task to task.
            *memory = Vec::new();
            *memory = vec![Block::default(); grown];
            self.growths.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Bytes of all arenas.
    pub fn bytes(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed) * size_of::<Block>() as u64 // widens
    }

    /// How often an arena has grown.
    pub fn growths(&self) -> u64 {
        self.growths.load(Ordering::Relaxed)
    }
}

/// An arena, if nobody has it: somebody may where a task runs a function of the user's that splits, for its thread may then take up
/// another task meanwhile. To wait for it would be to wait for oneself.
fn free(memory: &Mutex<Vec<Block>>) -> Option<MutexGuard<'_, Vec<Block>>> {
    match memory.try_lock() {
        Ok(memory) => Some(memory),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_asked_again_gets_other_memory() {
        let workers = Workers::new();
        let inner = workers.with(3, |outer| {
            outer.fill(Block::splat(7));
            workers.reserve(4);
            let inner = workers.with(5, |inner| inner.len());
            assert!(outer.iter().all(|block| *block == Block::splat(7)));
            inner
        });
        assert_eq!(inner, 5);
    }

    #[test]
    fn arenas_double_and_then_stay() {
        let workers = Workers::new();
        workers.reserve(3);
        let arenas = rayon::current_num_threads() as u64 + 1;
        assert_eq!((workers.growths(), workers.bytes()), (arenas, 3 * 64 * arenas));
        workers.with(2, |memory| assert_eq!(memory.len(), 3));
        workers.with(4, |memory| assert_eq!(memory.len(), 6));
        workers.reserve(3);
        assert_eq!(workers.growths(), arenas + 1);
    }
}
