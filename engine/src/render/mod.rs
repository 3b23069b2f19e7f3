//! Renders plan nodes into dataflow. All drivers render a job with the same function, which does not know the driver.

mod chain;
mod renderer;
mod retain;
mod set_aside;
mod windows;

pub use self::renderer::{RenderContext, render};
pub use self::set_aside::{SetAsideRows, UnmatchedChanges};
pub use self::windows::{LateRows, RetainedWindows};
