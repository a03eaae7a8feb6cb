//! The drawing of the house, held against its sources: which room may import which, no circle among files, no outside
//! in the pure rooms, no line too long. What fails here says which line to change.

mod graph;
mod lines;
mod rooms;
mod source;
