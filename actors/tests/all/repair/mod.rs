//! Repairs as people rely on them: a record counts once, a window is what bronze says, whatever happens in between.

mod drift;
mod heal;
mod letters;
mod replay;
mod replay_faults;
mod world;
