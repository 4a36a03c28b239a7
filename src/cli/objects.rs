//! Task objects of the API, read and shown with what the configuration knows.

use serde_json::Value;

use crate::config::ObjectContext;
use crate::config::task_object::{from_object, to_object};
use crate::runtime::handle::TaskObjects;
use crate::task::TaskSpec;

/// See the module.
#[derive(Debug)]
pub(super) struct Objects {
    context: ObjectContext,
    has_consul: bool,
}

impl Objects {
    /// With what the configuration knows.
    pub(super) fn new(context: ObjectContext, has_consul: bool) -> Self {
        Self { context, has_consul }
    }
}

impl TaskObjects for Objects {
    fn read(&self, object: &Value) -> Result<TaskSpec, String> {
        let spec = from_object(object, &self.context)?;
        if self.has_consul || spec.queries().is_empty() {
            return Ok(spec);
        }
        Err("the task asks Consul, which this agent is not configured for: add a `consul` block (an empty one asks \
             localhost:8500) and start it again"
            .to_owned())
    }

    fn show(&self, spec: &TaskSpec) -> Value {
        to_object(spec, &self.context)
    }
}
