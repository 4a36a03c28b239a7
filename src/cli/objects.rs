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
}

impl Objects {
    /// With what the configuration knows.
    pub(super) fn new(context: ObjectContext) -> Self {
        Self { context }
    }
}

impl TaskObjects for Objects {
    fn read(&self, object: &Value) -> Result<TaskSpec, String> {
        let spec = from_object(object, &self.context)?;
        if spec.queries().is_empty() {
            return Ok(spec);
        }
        Err("Consul is not read yet: supported now are the conditions \"schedule\" and \"members\"".to_owned())
    }

    fn show(&self, spec: &TaskSpec) -> Value {
        to_object(spec, &self.context)
    }
}
