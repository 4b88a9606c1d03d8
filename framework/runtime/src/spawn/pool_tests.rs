//! How many threads a pool keeps.

use super::*;
use std::time::Instant;

const SOON: Duration = Duration::from_secs(20);

fn pool(threads: usize) -> Arc<Pool> {
    let surplus_idle = Duration::from_millis(5);
    let size = Size { name: "pool-test", threads, threads_max: threads + 3, surplus_idle, grow: Grow::WhenStuck };
    Pool::new(size, Arc::default())
}

/// Waits until so many threads are there, and all of them sleep.
fn asleep(pool: &Pool, threads: usize) {
    let begun = Instant::now();
    while (pool.threads.load(Ordering::Relaxed), pool.idle.lock().len()) != (threads, threads) {
        let found = (pool.threads.load(Ordering::Relaxed), pool.idle.lock().len());
        assert!(begun.elapsed() < SOON, "{threads} threads, asleep; {found:?}");
        thread::yield_now();
    }
}

#[test]
fn only_the_surplus_of_a_pool_that_grew_leaves() {
    for threads in [0, 1, 2] {
        let pool = pool(threads);
        for surplus in 1..=3 {
            (0..surplus).for_each(|_| pool.add_thread());
            asleep(&pool, threads);
            let seen = Instant::now();
            while seen.elapsed() < 10 * pool.size.surplus_idle {
                assert!(pool.threads.load(Ordering::Relaxed) >= threads, "one of the {threads} left as well");
                thread::yield_now();
            }
            asleep(&pool, threads);
        }
        pool.close();
    }
}
