//! Scratch memory of the workers, reused over all batches and queries.

use std::sync::Mutex;

use covertree_kernels::arena::Block;

/// One growing arena per worker thread.
pub struct Workers {
    memory: Vec<Mutex<Vec<Block>>>,
}

impl Default for Workers {
    fn default() -> Self {
        Self::new()
    }
}

impl Workers {
    /// Empty arenas for the threads of the current pool, and one for a thread outside of it.
    pub fn new() -> Self {
        Self { memory: (0..=rayon::current_num_threads()).map(|_| Mutex::default()).collect() }
    }

    /// Lends the calling worker its arena, grown to at least `blocks`; it at least doubles when it grows.
    pub fn with<R>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> R) -> R {
        let worker = rayon::current_thread_index().map_or(0, |index| index + 1);
        // Nobody else takes this lock: a worker never runs another task inside `work`, which does not split.
        let mut memory =
            self.memory[worker % self.memory.len()].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if memory.len() < blocks {
            let grown = blocks.max(2 * memory.len());
            memory.resize(grown, Block::default());
        }
        work(&mut memory)
    }
}
