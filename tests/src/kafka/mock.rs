//! librdkafka's mock cluster, with one broker. It runs in its own thread, since it cannot be shared.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

const EVERY_BROKER: i32 = -1;

type Task = Box<dyn FnOnce(&MockCluster<'static, DefaultProducerContext>) + Send>;

/// A mock cluster, until it is dropped.
pub(super) struct Mock(Sender<Task>);

impl Mock {
    /// Starts a cluster and returns it with its address.
    pub(super) fn start() -> (Self, String) {
        let (tasks, todo) = channel::<Task>();
        thread::spawn(move || {
            let cluster = MockCluster::new(1).unwrap();
            todo.into_iter().for_each(|task| task(&cluster));
        });
        let mock = Self(tasks);
        let bootstrap = mock.with(|cluster| Ok(cluster.bootstrap_servers()));
        (mock, bootstrap)
    }

    pub(super) fn create_topic(&self, name: &str, partitions: i32) {
        let name = name.to_owned();
        self.with(move |cluster| cluster.create_topic(&name, partitions, 1));
    }

    pub(super) fn down(&self) {
        self.with(|cluster| cluster.broker_down(EVERY_BROKER));
    }

    pub(super) fn up(&self) {
        self.with(|cluster| cluster.broker_up(EVERY_BROKER));
    }

    fn with<R: Send + 'static>(
        &self,
        task: impl FnOnce(&MockCluster<'static, DefaultProducerContext>) -> KafkaResult<R>
        + Send
        + 'static,
    ) -> R {
        let (answer, result) = channel();
        let task: Task = Box::new(move |cluster| answer.send(task(cluster)).unwrap());
        self.0.send(task).unwrap();
        result.recv().unwrap().unwrap()
    }
}
