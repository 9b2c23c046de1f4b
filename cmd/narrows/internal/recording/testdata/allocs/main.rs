// What main.c does, by Rust's own boxes, vectors and strings. Their zeroed and growing forms call
// the allocator's other functions.
//
//	main SEED BLOCKS LEAK    every LEAKth block is not freed, none is if it is 0
use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::mem;

enum Block {
    Boxed(Box<[u8; 1000]>),
    Bytes(Vec<u8>),
    Text(String),
    None,
}

#[derive(Default, Clone)]
struct Did {
    bytes: usize,
    objects: usize,
    live_bytes: usize,
    live_objects: usize,
}

#[inline(never)]
fn by_box(_: usize) -> (Block, usize, usize, usize) {
    (Block::Boxed(Box::new(black_box([1; 1000]))), 1000, 1, 1000)
}

#[inline(never)]
fn by_vec(size: usize) -> (Block, usize, usize, usize) {
    (Block::Bytes(black_box(Vec::with_capacity(size))), size, 1, size)
}

#[inline(never)]
fn by_zeroed(size: usize) -> (Block, usize, usize, usize) {
    (Block::Bytes(black_box(vec![0; size])), size, 1, size)
}

// What grows allocates the new size and frees the old.
#[inline(never)]
fn by_growing(size: usize) -> (Block, usize, usize, usize) {
    let mut text = String::with_capacity(size);
    black_box(&mut text).reserve_exact(2 * size);
    (Block::Text(text), 3 * size, 2, 2 * size)
}

#[inline(never)]
fn work(mut seed: u64, blocks: usize, leak: usize, did: &mut [Did; 4]) {
    let mut held: [Block; 64] = [const { Block::None }; 64];
    let mut chance = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    for i in 0..blocks {
        let (size, way) = (16 + chance() % 4000, chance() % 4);
        let (block, bytes, objects, lives) = [by_box, by_vec, by_zeroed, by_growing][way](size);
        let d = &mut did[way];
        d.bytes += bytes;
        d.objects += objects;
        if leak > 0 && i % leak == 0 {
            d.live_bytes += lives;
            d.live_objects += 1;
            mem::forget(black_box(block));
            continue;
        }
        held[chance() % 64] = block;
    }
}

fn main() {
    let arguments: Vec<usize> = env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let mut did: [Did; 4] = Default::default();
    let mut input = io::stdin().lock().lines();
    println!("ready");
    io::stdout().flush().unwrap();
    input.next();
    work(arguments[0] as u64, arguments[1], arguments[2], &mut did);
    for (d, name) in did.iter().zip(["by_box", "by_vec", "by_zeroed", "by_growing"]) {
        println!("{} {} {} {} {}", name, d.bytes, d.objects, d.live_bytes, d.live_objects);
    }
    println!("done");
    io::stdout().flush().unwrap();
    input.next();
}
