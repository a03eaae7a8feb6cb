//! Settings that the agent gives the kernel programs.

shared! {
    /// The edge's limits. The agent writes them to a map, and may change them while the programs run.
    #[derive(Default)]
    pub struct Config {
        /// An edge that has waited this long for a response gives up, jiffies.
        pub read_jiffies: u32,
        /// An edge whose request bytes nobody has read for this long gives up, jiffies.
        pub write_jiffies: u32,
        /// Largest header section of a response that the edge accepts, bytes.
        pub header_limit: u32,
        /// If the edge closes a connection whose packets have been missing for this long, that is why, milliseconds.
        pub missing_ms: u32,
        /// One second, jiffies.
        pub second_jiffies: u32,
    }
    size: 20
}
