//! Values by their types.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

/// At most one value of each type. Clones share the values.
///
/// ```
/// let mut extensions = everywire_core::Extensions::default();
/// extensions.insert("a user".to_owned());
/// assert_eq!(extensions.get::<String>().map(String::as_str), Some("a user"));
/// assert_eq!(extensions.get::<u64>(), None);
/// ```
#[derive(Clone, Default)]
pub struct Extensions(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Puts `value` in the place of the one of the same type, if there is one.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("values", &self.0.len()).finish()
    }
}
