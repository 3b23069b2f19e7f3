//! The two graphs of an epoch, and sets of them.

/// A graph of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// The views that continue from their stored state.
    Resumed,
    /// The views that are rebuilt from an empty state.
    Rebuilt,
}

impl Graph {
    /// Both graphs, in the order in which every worker renders them.
    pub const ALL: [Self; 2] = [Self::Resumed, Self::Rebuilt];
}

/// Some of the graphs of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphSet {
    /// Whether [`Graph::Resumed`] is among them.
    pub resumed: bool,
    /// Whether [`Graph::Rebuilt`] is.
    pub rebuilt: bool,
}

impl GraphSet {
    /// Only the rebuilt views.
    pub const REBUILT: Self = Self {
        resumed: false,
        rebuilt: true,
    };

    /// Whether the set contains a graph.
    pub fn contains(self, graph: Graph) -> bool {
        match graph {
            Graph::Resumed => self.resumed,
            Graph::Rebuilt => self.rebuilt,
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        !self.resumed && !self.rebuilt
    }
}
