//! Components against the real engine: what they may do, what they may not, and what that costs them.

mod built;
mod calls;
mod canaries;
mod compiling;
mod frozen;
mod guests;
mod host;
mod hostile;
mod hostile_hooks;
mod hot_hooks;
mod slow_hooks;
mod villain;
