// Threads that wait for a std::sync::Mutex, and measure that themselves; see locks.c.
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {}
}

fn main() {
    let mutex = Arc::new(Mutex::new(0u64));
    let mut threads = Vec::new();
    for t in 0..4u64 {
        let mutex = Arc::clone(&mutex);
        let work = move || {
            let (mut waited, mut contended) = (0u128, 0u64);
            for _ in 0..400 {
                let from = Instant::now();
                let mut guard = match mutex.try_lock() {
                    Ok(guard) => guard,
                    Err(_) => {
                        let guard = mutex.lock().unwrap();
                        waited += from.elapsed().as_nanos();
                        contended += 1;
                        guard
                    }
                };
                *guard += 1;
                spin(Duration::from_micros(800));
                drop(guard);
                thread::sleep(Duration::from_micros(300 + 100 * t));
            }
            (waited, contended)
        };
        threads.push(thread::Builder::new().name(format!("t{}", t)).spawn(work).unwrap());
    }
    let (mut waited, mut contended) = (0, 0);
    for t in threads {
        let (w, c) = t.join().unwrap();
        waited += w;
        contended += c;
    }
    // The lock's word is somewhere in it.
    let address = &*mutex as *const Mutex<u64> as usize;
    println!("{{\"lock\":{},\"lock_bytes\":{},\"wait_ns\":{},\"contended\":{}}}", address, std::mem::size_of::<Mutex<u64>>(), waited, contended);
}
