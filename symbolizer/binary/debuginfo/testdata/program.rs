// A Rust program with closures, traits, generics and iterators to inline.
use std::collections::HashMap;
use std::fmt;

trait Shape {
    fn area(&self) -> f64;
    fn scaled(&self, by: f64) -> f64 {
        self.area() * by
    }
}

struct Square<T>(T);

impl Shape for Square<i32> {
    fn area(&self) -> f64 {
        (self.0 * self.0) as f64
    }
}

impl Shape for Square<f64> {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}

#[derive(Debug)]
struct Odd(u64);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "odd {}", self.0)
    }
}

mod inner {
    pub fn mix(x: u64) -> u64 {
        let x = (x ^ (x >> 33)).wrapping_mul(0xff51afd7ed558ccd);
        x ^ (x >> 29)
    }

    pub mod deeper {
        #[inline(never)]
        pub fn fold<F: Fn(u64) -> u64>(n: u64, f: F) -> u64 {
            (0..n).map(|i| f(super::mix(i))).filter(|x| x % 3 != 0).fold(0, |sum, x| sum.wrapping_add(x))
        }
    }
}

#[inline(never)]
fn half(x: u64) -> Result<u64, Odd> {
    if x % 2 == 1 {
        Err(Odd(x))
    } else {
        Ok(x / 2)
    }
}

fn main() {
    let n = std::env::args().count() as u64;
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(n as i32)), Box::new(Square(n as f64))];
    let area: f64 = shapes.iter().map(|s| s.scaled(2.0)).sum();
    let sum = inner::deeper::fold(n * 10, |x| x.rotate_left(7) ^ n);
    let mut words: HashMap<String, Vec<u64>> = HashMap::new();
    for i in 0..n * 20 {
        words.entry(format!("word {}", i % 7)).or_default().push(inner::mix(i));
    }
    let mut sorted: Vec<_> = words.iter().map(|(word, all)| (all.iter().max().unwrap(), word)).collect();
    sorted.sort_by(|a, b| b.cmp(a));
    match half(sum) {
        Ok(x) => println!("{} {} {}", area, x, sorted[0].1),
        Err(e) => println!("{} {} {}", area, e, sorted[0].1),
    }
}
