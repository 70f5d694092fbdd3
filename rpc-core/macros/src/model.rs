//! Parses a trait into a [`Service`], and reports everything that a service's trait must not contain, all at once.

use std::collections::HashMap;

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::{
    Attribute, Error, Expr, FnArg, Ident, ItemTrait, LitStr, Meta, Pat, Path, ReceiverKind, Result, ReturnType,
    Signature, Token, TraitItem, TraitItemFn, Type, Visibility,
    parse::{Parse, ParseStream},
    parse_quote, parse2,
    spanned::Spanned,
};

/// The parameters of the attribute.
pub(crate) struct Parameters {
    pub(crate) package: LitStr,
    pub(crate) version: Option<LitStr>,
    /// The crate that the generated code refers to.
    pub(crate) krate: Path,
}

/// A trait that can be served.
pub(crate) struct Service {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) methods: Vec<Method>,
}

/// One method of it.
pub(crate) struct Method {
    /// Without the marks `#[idempotent]` and `#[waits]`.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) idempotent: bool,
    pub(crate) waits: bool,
    pub(crate) name: Ident,
    /// The first parameter, if it is the context of the call.
    pub(crate) context: Option<Argument>,
    pub(crate) arguments: Vec<Argument>,
    /// The return type as written; that it is a `Result` is checked by the compiler, not by its name.
    pub(crate) outcome: Type,
}

/// One argument of a method.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) r#type: Type,
}

impl Service {
    pub(crate) fn service_name(&self) -> Ident {
        format_ident!("{}Service", self.name)
    }

    pub(crate) fn client_name(&self) -> Ident {
        format_ident!("{}Client", self.name)
    }
}

impl Method {
    /// The struct of its arguments. The underscores keep it apart from the names that the trait's types may have.
    pub(crate) fn arguments_name(&self) -> Ident {
        format_ident!("__{}Arguments", self.camel_name())
    }

    /// The name without `r#`.
    pub(crate) fn wire_name(&self) -> String {
        plain(&self.name)
    }

    /// The name in paths: `next_id` as `NextId`.
    pub(crate) fn camel_name(&self) -> String {
        camel_case(&self.wire_name())
    }
}

pub(crate) fn plain(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

fn camel_case(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let mut characters = word.chars();
            characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect::<String>()
        })
        .collect()
}

/// The lines of the documentation comments among `attributes`, without their indentation.
pub(crate) fn docs(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).collect();
    lines.join("\n").trim().to_owned()
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    let Expr::Lit(value) = &meta.value else { return None };
    let syn::Lit::Str(text) = &value.lit else { return None };
    let line = text.value();
    meta.path.is_ident("doc").then(|| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
}

impl Parse for Parameters {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut package, mut version) = (None, None);
        let mut krate = None;
        while !input.is_empty() {
            if input.peek(Token![crate]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                krate = Some(input.call(Path::parse_mod_style)?);
            } else {
                let key: Ident = input.parse()?;
                input.parse::<Token![=]>()?;
                match key.to_string().as_str() {
                    "package" => package = Some(dotted_name(input.parse()?)?),
                    "version" => version = Some(input.parse()?),
                    _ => {
                        let expected = "expected `package = \"…\"`, `version = \"…\"` or `crate = path`";
                        return Err(Error::new(key.span(), expected));
                    }
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let package = package.ok_or_else(|| {
            Error::new(Span::call_site(), "a service needs the package of its name: #[service(package = \"demo.v1\")]")
        })?;
        Ok(Self { package, version, krate: krate.unwrap_or_else(found_crate) })
    }
}

/// `everywire`, or `everywire-core` in a crate that depends on that alone, under the name that it has there.
fn found_crate() -> Path {
    let find = |package: &str| match crate_name(package).ok()? {
        FoundCrate::Itself => Some(package.replace('-', "_")),
        FoundCrate::Name(name) => Some(name),
    };
    let name = find("everywire").or_else(|| find("everywire-core")).unwrap_or_else(|| "everywire".to_owned());
    let name = format_ident!("{name}");
    parse_quote!(::#name)
}

fn dotted_name(package: LitStr) -> Result<LitStr> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if package.value().split('.').all(is_word) {
        return Ok(package);
    }
    Err(Error::new(package.span(), "a package is words of small letters, digits and `_`, joined by dots: demo.v1"))
}

/// Errors collected over a whole trait.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn add(&mut self, place: &(impl ToTokens + ?Sized), problem: impl std::fmt::Display) {
        self.join(Error::new_spanned(place, problem));
    }

    fn join(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }
}

/// The service that `item` declares, with the errors in it; methods with errors are left out.
pub(crate) fn parse(item: TokenStream) -> Result<(Service, Option<Error>)> {
    let declared: ItemTrait = parse2(item)?;
    let mut errors = Errors::default();
    check_trait(&declared, &mut errors);
    let mut methods = Vec::new();
    for item in &declared.items {
        match item {
            TraitItem::Fn(method) => methods.extend(parse_method(method, &mut errors)),
            other => errors.add(other, "a service has only methods: a wire can't carry anything else"),
        }
    }
    check_names(&declared.ident, &methods, &mut errors);
    let service = Service { attributes: declared.attrs, visibility: declared.vis, name: declared.ident, methods };
    Ok((service, errors.0))
}

fn check_trait(declared: &ItemTrait, errors: &mut Errors) {
    if !declared.generics.params.is_empty() {
        errors.add(&declared.generics, "a service has no generic parameters: its types are the same for every client");
    }
    if !declared.supertraits.is_empty() {
        errors.add(&declared.supertraits, "a service has no supertraits: its generated client couldn't implement them");
    }
    if let Some(keyword) = &declared.unsafety {
        errors.add(keyword, "a service is a safe trait");
    }
}

fn parse_method(method: &TraitItemFn, errors: &mut Errors) -> Option<Method> {
    let signature = &method.sig;
    let before = errors.0.clone().map_or(0, |all| all.into_iter().count());
    check_signature(signature, errors);
    if let Some(body) = &method.default {
        errors.add(body, "a service's method has no body: the generated client implements it too");
    }
    let mut attributes = method.attrs.clone();
    let idempotent = take_mark(&mut attributes, "idempotent", "a method is idempotent or it is not", errors);
    let waits = take_mark(&mut attributes, "waits", "a method waits or it does not", errors);
    let mut inputs = signature.inputs.iter().filter(|input| matches!(input, FnArg::Typed(_))).peekable();
    let context = inputs.next_if(|input| is_context(input)).and_then(|input| named(input, errors));
    let arguments: Vec<_> = inputs.filter_map(|input| parse_argument(input, errors)).collect();
    let outcome = match &signature.output {
        ReturnType::Type(_, outcome) => (**outcome).clone(),
        ReturnType::Default => syn::parse_quote_spanned!(signature.span()=> ()),
    };
    let after = errors.0.clone().map_or(0, |all| all.into_iter().count());
    (before == after).then(|| Method {
        attributes,
        idempotent,
        waits,
        name: signature.ident.clone(),
        context,
        arguments,
        outcome,
    })
}

/// Removes `#[name]` from `attributes`, and returns whether it was there.
fn take_mark(attributes: &mut Vec<Attribute>, name: &str, alone_because: &str, errors: &mut Errors) -> bool {
    let marks: Vec<_> = attributes.extract_if(.., |attribute| attribute.path().is_ident(name)).collect();
    for mark in marks.iter().filter(|mark| mark.meta.require_path_only().is_err()) {
        errors.add(mark, format_args!("`#[{name}]` stands alone: {alone_because}"));
    }
    !marks.is_empty()
}

fn check_signature(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    if !plain(name).is_ascii() {
        errors.add(name, "a method's name is ASCII: not every wire carries other names");
    }
    if let Some(abi) = &signature.abi {
        errors.add(abi, "a service's method is an ordinary one");
    }
    if signature.asyncness.is_none() {
        errors.add(&signature.fn_token, format_args!("a service's method is async: `async fn {name}`"));
    }
    match signature.receiver().map(|receiver| (receiver, &receiver.kind)) {
        Some((_, ReceiverKind::Reference(_, None, None))) => {}
        Some((receiver, _)) => {
            errors.add(receiver, "a service's method takes `&self`: calls run at the same time on one value");
        }
        None => errors.add(name, format_args!("a service's method takes `&self`: `async fn {name}(&self, …)`")),
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        errors.add(&signature.generics, "a service's method has no generic parameters: a wire needs to know its types");
    }
}

/// Whether the parameter is a `&Context`, by any path.
fn is_context(input: &FnArg) -> bool {
    let FnArg::Typed(typed) = input else { return false };
    let Type::Reference(reference) = &*typed.ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    reference.mutability.is_none() && path.path.segments.last().is_some_and(|last| last.ident == "Context")
}

fn parse_argument(input: &FnArg, errors: &mut Errors) -> Option<Argument> {
    let FnArg::Typed(typed) = input else { return None };
    if is_context(input) {
        errors.add(input, "the context is the first parameter: `async fn name(&self, cx: &Context, …)`");
        return None;
    }
    if let Some(attribute) = typed.attrs.first() {
        errors.add(attribute, "an argument has no attributes: put them on the fields of a struct of its own");
    }
    match &*typed.ty {
        Type::Reference(_) => {
            errors.add(&typed.ty, "an argument is owned, since it arrives over a wire: `String`, not `&str`");
        }
        Type::ImplTrait(_) => errors.add(&typed.ty, "an argument has one concrete type"),
        _ => {}
    }
    named(input, errors)
}

/// The parameter with its name, which is a plain one.
fn named(input: &FnArg, errors: &mut Errors) -> Option<Argument> {
    let FnArg::Typed(typed) = input else { return None };
    match &*typed.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() && pattern.mutability.is_none() => {
            Some(Argument { name: pattern.ident.clone(), r#type: (*typed.ty).clone() })
        }
        other => {
            errors.add(other, "an argument has a plain name: it is part of the interface");
            None
        }
    }
}

fn check_names(service: &Ident, methods: &[Method], errors: &mut Errors) {
    let mut seen: HashMap<String, &Ident> = HashMap::new();
    for method in methods {
        let name = method.wire_name();
        if matches!(&*name, "new" | "with") {
            let problem = format_args!("`{name}` clashes with the generated `{service}Client::{name}`; rename it");
            errors.add(&method.name, problem);
        }
        let camel = method.camel_name();
        if let Some(first) = seen.insert(camel.clone(), &method.name) {
            errors.add(
                &method.name,
                format_args!("`{name}` clashes with `{first}`: both are `{service}/{camel}` on a wire"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_names_in_camel_case() {
        for (name, expected) in [("add", "Add"), ("wait_for", "WaitFor"), ("größe_ändern", "GrößeÄndern")] {
            assert_eq!(camel_case(name), expected);
        }
    }
}
