//! The answer of a routing filter as the runtime hands it over.
//!
//! The bindings that are generated for it are 160 bytes large, and the runtime moves an answer from hand to hand on its
//! way out, as a call of `memcpy` each time it is larger than 128. Most answers say no more than "pass". These types say
//! the same as `routing-filter.wit`, by its names; the runtime checks that when an instance is made.

use wasmtime::component::{ComponentType, Lift};

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) remember: bool,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Verdict {
    #[component(name = "pass")]
    Pass,
    #[component(name = "rewrite")]
    Rewrite(Rewrite),
    #[component(name = "split")]
    Split(Box<[Share]>),
    #[component(name = "refuse")]
    Refuse(Refusal),
    #[component(name = "answer")]
    Answer(Payload),
}

#[derive(Clone, Debug, Default, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Rewrite {
    pub(crate) group: Option<Box<str>>,
    pub(crate) service: Option<Box<str>>,
    pub(crate) method: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) endpoint: Option<Box<str>>,
    pub(crate) tags: Box<[(Box<str>, Box<str>)]>,
    pub(crate) sticky: Option<bool>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    pub(crate) to: Rewrite,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    pub(crate) text: Box<str>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Payload {
    pub(crate) metadata: Option<Box<[u8]>>,
    pub(crate) data: Box<[u8]>,
}

const _: () = assert!(size_of::<wasmtime::Result<Decision>>() <= 128);
