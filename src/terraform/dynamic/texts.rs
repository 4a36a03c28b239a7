//! Where texts that may be templates stand, and how they are visited.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::super::Settings;
use super::super::hcl::quoted;
use super::{DynamicError, is_template};

/// Where a text stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `terraform_provider "fw"`, `task "edge"`.
    pub block: String,
    /// The key in it.
    pub key: String,
    /// A variable that the environment has not is an error here; elsewhere it is empty, as in CTS.
    pub is_strict: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, `{}`", self.block, self.key)
    }
}

/// Looks at one text and may change it. The error says what is wrong with it.
pub type Visit<'a> = dyn FnMut(&Place, &mut String) -> Result<(), String> + 'a;

/// Something with texts.
pub trait Texts: Clone {
    /// Visits every text that may be a template.
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), DynamicError>;
}

fn at(place: &Place, text: &mut String, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
    visit(place, text).map_err(|why| DynamicError::Template(place.clone(), why))
}

fn inside(place: &Place, value: &mut Value, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
    match value {
        Value::String(text) => at(place, text, visit),
        Value::Array(items) => items.iter_mut().try_for_each(|item| inside(place, item, visit)),
        Value::Object(items) => items.values_mut().try_for_each(|item| inside(place, item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// One text with its place.
impl Texts for (Place, String) {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
        at(&self.0, &mut self.1, visit)
    }
}

/// Every text of every provider, and of the backend.
impl Texts for Settings {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
        for provider in &mut self.providers {
            let block = format!("terraform_provider {:?}", provider.id());
            let place = |key: &str| Place { block: block.clone(), key: key.to_owned(), is_strict: false };
            for (name, value) in &mut provider.args {
                inside(&place(name), value, visit)?;
            }
            for (name, text) in &mut provider.task_env {
                at(&place(name), text, visit)?;
            }
        }
        if let Some(backend) = &mut self.backend {
            let block = format!("backend {:?}", backend.kind);
            for (name, value) in &mut backend.body {
                inside(&Place { block: block.clone(), key: name.clone(), is_strict: true }, value, visit)?;
            }
        }
        Ok(())
    }
}

/// All that one run needs.
#[derive(Clone, Default)]
pub struct RunTexts {
    /// Name of the task.
    pub task: String,
    /// The driver, with the providers of the task and no others.
    pub settings: Settings,
    /// Variables of the task: literal texts and templates.
    pub variables: BTreeMap<String, String>,
    /// What is set in the environment of the run.
    pub set: BTreeMap<String, String>,
}

impl fmt::Debug for RunTexts {
    /// Without any text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunTexts").field("task", &self.task).finish_non_exhaustive()
    }
}

impl RunTexts {
    /// Names of the providers of which an argument is a template.
    pub fn templated_providers(&self) -> BTreeSet<String> {
        let has = |args: &serde_json::Map<String, Value>| {
            let mut args = Value::Object(args.clone());
            let mut found = false;
            let place = Place { block: String::new(), key: String::new(), is_strict: false };
            let looked = inside(&place, &mut args, &mut |_, text| {
                found |= is_template(text);
                Ok(())
            });
            looked.is_ok() && found
        };
        self.settings.providers.iter().filter(|it| has(&it.args)).map(|it| it.name.clone()).collect()
    }

    /// Names of the variables that are templates.
    pub fn templated_variables(&self) -> BTreeSet<String> {
        self.variables.iter().filter(|(_, text)| is_template(text)).map(|(name, _)| name.clone()).collect()
    }

    /// A template stands for a text, and a variable is the literal text of a value: quotes what was filled in.
    pub fn quote(&mut self, filled_in: &BTreeSet<String>) {
        for (_, text) in self.variables.iter_mut().filter(|(name, _)| filled_in.contains(*name)) {
            *text = quoted(text);
        }
    }
}

impl Texts for RunTexts {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
        self.settings.each(visit)?;
        let block = format!("task {:?}", self.task);
        let place = |key: String| Place { block: block.clone(), key, is_strict: true };
        for (name, text) in &mut self.variables {
            at(&place(format!("variables.{name}")), text, visit)?;
        }
        for (name, text) in &mut self.set {
            at(&place(format!("run_env.set.{name}")), text, visit)?;
        }
        Ok(())
    }
}
