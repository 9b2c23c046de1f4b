// Maps, strings, sorting and closures, until a byte comes on standard input.
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

fn visit(depth: u32, f: &mut dyn FnMut(u32) -> u64) -> u64 {
    if depth == 0 {
        return f(depth);
    }
    let mut sum = 0;
    for i in 0..2 {
        sum += visit(depth - 1, &mut |d| f(d + i)) + 1;
    }
    sum
}

fn containers(round: u64) -> u64 {
    let mut words: HashMap<String, u64> = HashMap::new();
    for i in 0..500u64 {
        *words.entry(format!("word {}", (i * round) % 97)).or_default() += i;
    }
    let sorted: BTreeMap<_, _> = words.iter().map(|(k, v)| (v, k)).collect();
    let mut lengths: Vec<usize> = sorted.values().map(|k| k.len() * 31 % 17).collect();
    lengths.sort_by(|a, b| b.cmp(a));
    lengths.iter().sum::<usize>() as u64
}

fn main() {
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0u8; 1]);
        told.store(true, Ordering::Relaxed);
    });
    let mut sum = 0u64;
    while !ended.load(Ordering::Relaxed) {
        sum = sum.wrapping_add(containers(sum % 100));
        sum = sum.wrapping_add(visit(8, &mut |d| (d as u64) * 3));
    }
    println!("{{}}");
    if sum == 42 {
        println!();
    }
}
