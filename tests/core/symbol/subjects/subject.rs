//! Traits, generics and closures, for names.
use std::collections::HashMap;

pub struct Square {
    pub side: u64,
}

pub trait Area {
    fn area(&self) -> u64;
}

impl Area for Square {
    #[inline(never)]
    fn area(&self) -> u64 {
        self.side * self.side
    }
}

#[inline(never)]
pub fn total<T: Area>(shapes: &[T]) -> u64 {
    shapes.iter().map(|shape| shape.area()).sum()
}

#[no_mangle]
pub extern "C" fn subject_rust(count: u64) -> u64 {
    let mut words: HashMap<String, u64> = HashMap::new();
    for i in 0..count {
        *words.entry(format!("{}", i % 10)).or_insert(0) += i;
    }
    let shapes: Vec<Square> = words.values().map(|side| Square { side: *side }).collect();
    total(&shapes)
}
