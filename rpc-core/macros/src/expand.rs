//! Turns a [`Service`] into tokens: one function per generated item.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{GenericArgument, Path, PathArguments, Type, parse2, spanned::Spanned};

use crate::model::{self, Argument, Method, Parameters, Service, docs, plain};

pub(crate) fn service(parameters: TokenStream, item: TokenStream) -> TokenStream {
    match parse2(parameters).and_then(|parameters| Ok((parameters, model::parse(item)?))) {
        Ok((parameters, (service, None))) => expand(&parameters, &service),
        Ok((parameters, (service, Some(errors)))) => {
            let errors = errors.into_compile_error();
            let checks = checks(&parameters.krate, &service);
            quote!(#errors const _: () = { #checks };)
        }
        Err(error) => error.into_compile_error(),
    }
}

/// A program may use only one half, so the other must not be reported as dead code.
fn expand(parameters: &Parameters, service: &Service) -> TokenStream {
    let krate = &parameters.krate;
    let declared = declared_trait(service);
    let checks = checks(krate, service);
    let service_struct = service_struct(service);
    let client_struct = client_struct(krate, service);
    let arguments = service.methods.iter().map(|method| arguments_struct(krate, method));
    let descriptor = descriptor(parameters, service);
    let service_impl = service_impl(krate, service);
    let client_impl = client_impl(krate, service);
    quote! {
        #declared
        #service_struct
        #client_struct
        const _: () = {
            #checks
            #(#arguments)*
            #descriptor
            #service_impl
            #client_impl
        };
    }
}

/// The trait as written, with futures that are known to be `Send`.
fn declared_trait(service: &Service) -> TokenStream {
    let Service { attributes, visibility, name, methods } = service;
    let methods = methods.iter().map(|method| {
        let Method { attributes, name, outcome, .. } = method;
        let arguments = parameters_of(method);
        quote! {
            #(#attributes)*
            fn #name(&self, #arguments) -> impl ::core::future::Future<Output = #outcome> + ::core::marker::Send;
        }
    });
    quote! {
        #(#attributes)*
        #visibility trait #name: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn service_struct(service: &Service) -> TokenStream {
    let Service { visibility, name, .. } = service;
    let service_name = service.service_name();
    let struct_docs = format!(" [`{name}`] as a service: what a server mounts on its wires.");
    let new_docs = format!(" Serves `inner`, an implementation of [`{name}`].");
    quote! {
        #[doc = #struct_docs]
        #[allow(dead_code)]
        #[derive(Debug, Clone)]
        #visibility struct #service_name<T> {
            inner: T,
        }

        #[allow(dead_code)]
        impl<T: #name> #service_name<T> {
            #[doc = #new_docs]
            #visibility fn new(inner: T) -> Self {
                Self { inner }
            }
        }
    }
}

fn client_struct(krate: &Path, service: &Service) -> TokenStream {
    let Service { visibility, name, .. } = service;
    let client_name = service.client_name();
    let struct_docs = format!(" [`{name}`] over a wire.");
    quote! {
        #[doc = #struct_docs]
        #[allow(dead_code)]
        #[derive(Debug, Clone)]
        #visibility struct #client_name<C> {
            caller: C,
            context: #krate::__private::Context,
        }

        #[allow(dead_code)]
        impl<C> #client_name<C> {
            /// Calls through `caller`, the client of one wire.
            #visibility fn new(caller: C) -> Self {
                Self { caller, context: #krate::__private::Context::new() }
            }

            /// The same client for calls with the context `cx`.
            #[must_use]
            #visibility fn with(&self, cx: &#krate::__private::Context) -> Self
            where
                C: ::core::clone::Clone,
            {
                Self { caller: self.caller.clone(), context: cx.clone() }
            }
        }
    }
}

/// Generic, so that a type that serde can't read is reported where it is used, and not for each step of reading it.
fn arguments_struct(krate: &Path, method: &Method) -> TokenStream {
    let name = method.arguments_name();
    let fields = method.arguments.iter().map(|argument| &argument.name);
    let types: Vec<_> = (0..method.arguments.len()).map(|index| format_ident!("T{index}")).collect();
    let serde = quote!(#krate::__private::serde).to_string().replace(' ', "");
    quote! {
        #[derive(#krate::__private::serde::Serialize, #krate::__private::serde::Deserialize)]
        #[serde(crate = #serde, deny_unknown_fields)]
        struct #name<#(#types),*> {
            #(#fields: #types),*
        }
    }
}

fn descriptor(parameters: &Parameters, service: &Service) -> TokenStream {
    let Parameters { package, version, krate } = parameters;
    let version =
        version.as_ref().map_or_else(|| quote!(::core::env!("CARGO_PKG_VERSION")), |version| quote!(#version));
    let Service { visibility, .. } = service;
    let service_name = service.service_name();
    let name = plain(&service.name);
    let docs_text = docs(&service.attributes);
    let methods = service.methods.iter().map(described_method);
    quote! {
        static __DESCRIPTOR: ::std::sync::LazyLock<#krate::__private::ServiceDescriptor> = ::std::sync::LazyLock::new(|| {
            let mut service = #krate::__private::ServiceDescriptor::builder(#package, #name, #docs_text).version(#version);
            #(#methods)*
            service.build()
        });

        #[allow(dead_code)]
        impl #service_name<()> {
            /// The names, types and documentation of the service.
            #visibility fn descriptor() -> &'static #krate::__private::ServiceDescriptor {
                &__DESCRIPTOR
            }
        }
    }
}

fn described_method(method: &Method) -> TokenStream {
    let (name, camel_name) = (method.wire_name(), method.camel_name());
    let docs = docs(&method.attributes);
    let idempotent = method.idempotent.then(|| quote!(.idempotent()));
    let waits = method.waits.then(|| quote!(.waits()));
    let arguments = method.arguments.iter().map(|argument| {
        let (name, r#type) = (plain(&argument.name), &argument.r#type);
        let text = type_text(r#type);
        quote!(.argument::<#r#type>(#name, #text))
    });
    let outcome = &method.outcome;
    let text = type_text(reply_text(outcome));
    quote! {
        service.method(#name, #camel_name, #docs) #idempotent #waits #(#arguments)* .returns::<#outcome>(#text);
    }
}

fn service_impl(krate: &Path, service: &Service) -> TokenStream {
    let trait_name = &service.name;
    let service_name = service.service_name();
    let arms = service.methods.iter().enumerate().map(|(index, method)| dispatch_arm(krate, index, method));
    quote! {
        impl<__Inner: #trait_name> #krate::__private::Service for #service_name<__Inner> {
            fn services(&self) -> &#krate::__private::Services {
                static SERVICES: ::std::sync::LazyLock<#krate::__private::Services> =
                    ::std::sync::LazyLock::new(|| #krate::__private::Services::new([&*__DESCRIPTOR]));
                &SERVICES
            }

            async fn dispatch<__Call: #krate::__private::Call>(
                &self,
                method: &'static #krate::__private::Method,
                call: &mut __Call,
            ) -> __Call::Reply {
                match method.index() {
                    #(#arms)*
                    _ => #krate::__private::foreign_method(self.services(), method, call),
                }
            }
        }
    }
}

fn dispatch_arm(krate: &Path, index: usize, method: &Method) -> TokenStream {
    let index = Literal::usize_unsuffixed(index);
    let (name, arguments_name) = (&method.name, method.arguments_name());
    let names: Vec<_> = method.arguments.iter().map(|argument| &argument.name).collect();
    let invoke = match &method.context {
        None => quote! {
            invoke(method, call, |#arguments_name { #(#names),* }| self.inner.#name(#(#names),*))
        },
        Some(Argument { name: cx, .. }) => quote! {
            invoke_with_context(
                method,
                call,
                |#arguments_name { #(#names),* }, #cx| async move { self.inner.#name(&#cx, #(#names),*).await },
            )
        },
    };
    quote! {
        #index => #krate::__private::#invoke.await,
    }
}

fn client_impl(krate: &Path, service: &Service) -> TokenStream {
    let trait_name = &service.name;
    let client_name = service.client_name();
    let methods = service.methods.iter().enumerate().map(|(index, method)| {
        let Method { name, outcome, .. } = method;
        let (index, arguments_name) = (Literal::usize_unsuffixed(index), method.arguments_name());
        let arguments = parameters_of(method);
        let names = method.arguments.iter().map(|argument| &argument.name);
        let cx = method.context.as_ref().map_or_else(|| quote!(&self.context), |cx| cx.name.to_token_stream());
        quote! {
            async fn #name(&self, #arguments) -> #outcome {
                let __method = &__DESCRIPTOR.methods()[#index];
                <#outcome as #krate::__private::Outcome>::ask(&self.caller, __method, #cx, &#arguments_name { #(#names),* }).await
            }
        }
    });
    quote! {
        impl<__Caller: #krate::__private::Caller> #trait_name for #client_name<__Caller> {
            #(#methods)*
        }
    }
}

/// Items that say of each type in the trait whether it can be there, before the compiler says why the rest can't be compiled.
fn checks(krate: &Path, service: &Service) -> TokenStream {
    let checks = service.methods.iter().map(|Method { arguments, outcome, .. }| {
        let arguments = arguments.iter().map(|Argument { r#type, .. }| {
            quote_spanned!(r#type.span()=> const _: __private::Argument<#r#type> = __private::Argument::CHECKED;)
        });
        let outcome =
            quote_spanned!(outcome.span()=> const _: __private::Returned<#outcome> = __private::Returned::CHECKED;);
        quote!(#(#arguments)* #outcome)
    });
    quote!(use #krate::__private; #(#checks)*)
}

/// The parameters after `&self`: the context, if there is one, and the arguments.
fn parameters_of(method: &Method) -> TokenStream {
    let context = method.context.as_ref().map(|Argument { name, r#type }| quote!(#name: #r#type,));
    let arguments = typed_arguments(method);
    quote!(#context #arguments)
}

fn typed_arguments(method: &Method) -> TokenStream {
    let names = method.arguments.iter().map(|argument| &argument.name);
    let types = method.arguments.iter().map(|argument| &argument.r#type);
    quote!(#(#names: #types),*)
}

/// The `T` of `Result<T>` as people read it. Only for display: nothing is decided by it.
fn reply_text(outcome: &Type) -> &Type {
    let Type::Path(path) = outcome else { return outcome };
    let Some(PathArguments::AngleBracketed(arguments)) = path.path.segments.last().map(|last| &last.arguments) else {
        return outcome;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(reply)) => reply,
        _ => outcome,
    }
}

fn type_text(r#type: &Type) -> String {
    quote!(#r#type).to_string().replace(' ', "").replace(',', ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/expanded/calculator.rs");

    /// The expansion, as a file that people read. `UPDATE_EXPANDED=1 cargo test -p everywire-macros` writes it anew.
    #[test]
    fn the_committed_expansion_is_the_present_one() {
        let expanded = service(
            quote!(package = "demo.v1", version = "1.2.0", crate = ::everywire_core),
            quote! {
                /// Adds.
                pub trait Calculator {
                    /// Adds two integers.
                    #[idempotent]
                    async fn add(&self, a: i64, b: i64) -> Result<i64>;
                    /// Adds any number of integers, and `start` if it is there.
                    async fn sum(&self, numbers: Vec<i64>, start: Option<i64>) -> Result<i64>;
                    /// The milliseconds until the call's deadline, if it has one.
                    async fn time_left(&self, cx: &Context) -> Result<Option<u64>>;
                }
            },
        );
        let readable = prettyplease::unparse(&parse2(expanded).expect("the expansion is Rust"));
        let readable = format!("// What #[service] makes of the trait in `rpc-core/tests/expanded.rs`.\n{readable}");
        if std::env::var_os("UPDATE_EXPANDED").is_some() {
            std::fs::write(COMMITTED, &readable).expect("the file can be written");
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert_eq!(readable, committed, "the expansion changed; see the test's comment");
    }
}
