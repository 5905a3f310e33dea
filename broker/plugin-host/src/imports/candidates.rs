//! `candidates`: who could take the call at hand. Outside of `select` there is nobody.

use crate::{
    Candidates, bindings::shared::jackfield::plugin::candidates, call::lent, state::State,
};

impl candidates::Host for State {
    fn uuid(&mut self, index: u32) -> String {
        of(index, |all, index| all.uuid(index))
    }

    fn app(&mut self, index: u32) -> String {
        of(index, |all, index| all.app(index))
    }

    fn ip(&mut self, index: u32) -> String {
        of(index, |all, index| all.ip(index))
    }

    fn tag(&mut self, index: u32, key: String) -> Option<String> {
        of(index, |all, index| all.tag(index, &key))
    }

    fn has(&mut self, index: u32, key: String, value: String) -> bool {
        of(index, |all, index| all.has(index, &key, &value))
    }

    fn having(&mut self, key: String, value: String) -> Vec<u32> {
        all(|all| {
            let fits = |&index: &u32| all.has(index as usize, &key, &value);
            (0..all.len() as u32).filter(fits).collect()
        })
    }

    fn power(&mut self, index: u32) -> u32 {
        of(index, |all, index| all.power(index))
    }

    fn in_flight(&mut self, index: u32) -> u32 {
        of(index, |all, index| all.in_flight(index))
    }

    fn all_in_flight(&mut self) -> Vec<u32> {
        all(|all| (0..all.len()).map(|index| all.in_flight(index)).collect())
    }
}

fn all<R: Default>(read: impl FnOnce(&dyn Candidates) -> R) -> R {
    lent(|lent| lent.candidates.map(read))
        .flatten()
        .unwrap_or_default()
}

fn of<R: Default>(index: u32, read: impl FnOnce(&dyn Candidates, usize) -> R) -> R {
    let index = index as usize;
    all(|all| match index < all.len() {
        true => read(all, index),
        false => R::default(),
    })
}
