// What #[service] makes of the trait in `rpc-core/tests/expanded.rs`.
/// Adds.
pub trait Calculator: ::core::marker::Send + ::core::marker::Sync + 'static {
    /// Adds two integers.
    fn add(
        &self,
        a: i64,
        b: i64,
    ) -> impl ::core::future::Future<Output = Result<i64>> + ::core::marker::Send;
    /// Adds any number of integers, and `start` if it is there.
    fn sum(
        &self,
        numbers: Vec<i64>,
        start: Option<i64>,
    ) -> impl ::core::future::Future<Output = Result<i64>> + ::core::marker::Send;
    /// The milliseconds until the call's deadline, if it has one.
    fn time_left(
        &self,
        cx: &Context,
    ) -> impl ::core::future::Future<
        Output = Result<Option<u64>>,
    > + ::core::marker::Send;
}
/// [`Calculator`] as a service: what a server mounts on its wires.
#[allow(dead_code)]
#[derive(Debug, Clone)]
pub struct CalculatorService<T> {
    inner: T,
}
#[allow(dead_code)]
impl<T: Calculator> CalculatorService<T> {
    /// Serves `inner`, an implementation of [`Calculator`].
    pub fn new(inner: T) -> Self {
        Self { inner }
    }
}
/// [`Calculator`] over a wire.
#[allow(dead_code)]
#[derive(Debug, Clone)]
pub struct CalculatorClient<C> {
    caller: C,
    context: ::everywire_core::__private::Context,
}
#[allow(dead_code)]
impl<C> CalculatorClient<C> {
    /// Calls through `caller`, the client of one wire.
    pub fn new(caller: C) -> Self {
        Self {
            caller,
            context: ::everywire_core::__private::Context::new(),
        }
    }
    /// The same client for calls with the context `cx`.
    #[must_use]
    pub fn with(&self, cx: &::everywire_core::__private::Context) -> Self
    where
        C: ::core::clone::Clone,
    {
        Self {
            caller: self.caller.clone(),
            context: cx.clone(),
        }
    }
}
const _: () = {
    use ::everywire_core::__private;
    const _: __private::Argument<i64> = __private::Argument::CHECKED;
    const _: __private::Argument<i64> = __private::Argument::CHECKED;
    const _: __private::Returned<Result<i64>> = __private::Returned::CHECKED;
    const _: __private::Argument<Vec<i64>> = __private::Argument::CHECKED;
    const _: __private::Argument<Option<i64>> = __private::Argument::CHECKED;
    const _: __private::Returned<Result<i64>> = __private::Returned::CHECKED;
    const _: __private::Returned<Result<Option<u64>>> = __private::Returned::CHECKED;
    #[derive(
        ::everywire_core::__private::serde::Serialize,
        ::everywire_core::__private::serde::Deserialize
    )]
    #[serde(crate = "::everywire_core::__private::serde", deny_unknown_fields)]
    struct __AddArguments<T0, T1> {
        a: T0,
        b: T1,
    }
    #[derive(
        ::everywire_core::__private::serde::Serialize,
        ::everywire_core::__private::serde::Deserialize
    )]
    #[serde(crate = "::everywire_core::__private::serde", deny_unknown_fields)]
    struct __SumArguments<T0, T1> {
        numbers: T0,
        start: T1,
    }
    #[derive(
        ::everywire_core::__private::serde::Serialize,
        ::everywire_core::__private::serde::Deserialize
    )]
    #[serde(crate = "::everywire_core::__private::serde", deny_unknown_fields)]
    struct __TimeLeftArguments {}
    static __DESCRIPTOR: ::std::sync::LazyLock<
        ::everywire_core::__private::ServiceDescriptor,
    > = ::std::sync::LazyLock::new(|| {
        let mut service = ::everywire_core::__private::ServiceDescriptor::builder(
                "demo.v1",
                "Calculator",
                "Adds.",
            )
            .version("1.2.0");
        service
            .method("add", "Add", "Adds two integers.")
            .idempotent()
            .argument::<i64>("a", "i64")
            .argument::<i64>("b", "i64")
            .returns::<Result<i64>>("i64");
        service
            .method(
                "sum",
                "Sum",
                "Adds any number of integers, and `start` if it is there.",
            )
            .argument::<Vec<i64>>("numbers", "Vec<i64>")
            .argument::<Option<i64>>("start", "Option<i64>")
            .returns::<Result<i64>>("i64");
        service
            .method(
                "time_left",
                "TimeLeft",
                "The milliseconds until the call's deadline, if it has one.",
            )
            .returns::<Result<Option<u64>>>("Option<u64>");
        service.build()
    });
    #[allow(dead_code)]
    impl CalculatorService<()> {
        /// The names, types and documentation of the service.
        pub fn descriptor() -> &'static ::everywire_core::__private::ServiceDescriptor {
            &__DESCRIPTOR
        }
    }
    impl<__Inner: Calculator> ::everywire_core::__private::Service
    for CalculatorService<__Inner> {
        fn services(&self) -> &::everywire_core::__private::Services {
            static SERVICES: ::std::sync::LazyLock<
                ::everywire_core::__private::Services,
            > = ::std::sync::LazyLock::new(|| ::everywire_core::__private::Services::new([
                &*__DESCRIPTOR,
            ]));
            &SERVICES
        }
        async fn dispatch<__Call: ::everywire_core::__private::Call>(
            &self,
            method: &'static ::everywire_core::__private::Method,
            call: &mut __Call,
        ) -> __Call::Reply {
            match method.index() {
                0 => {
                    ::everywire_core::__private::invoke(
                            method,
                            call,
                            |__AddArguments { a, b }| self.inner.add(a, b),
                        )
                        .await
                }
                1 => {
                    ::everywire_core::__private::invoke(
                            method,
                            call,
                            |__SumArguments { numbers, start }| {
                                self.inner.sum(numbers, start)
                            },
                        )
                        .await
                }
                2 => {
                    ::everywire_core::__private::invoke_with_context(
                            method,
                            call,
                            |__TimeLeftArguments {}, cx| async move {
                                self.inner.time_left(&cx).await
                            },
                        )
                        .await
                }
                _ => {
                    ::everywire_core::__private::foreign_method(
                        self.services(),
                        method,
                        call,
                    )
                }
            }
        }
    }
    impl<__Caller: ::everywire_core::__private::Caller> Calculator
    for CalculatorClient<__Caller> {
        async fn add(&self, a: i64, b: i64) -> Result<i64> {
            let __method = &__DESCRIPTOR.methods()[0];
            <Result<
                i64,
            > as ::everywire_core::__private::Outcome>::ask(
                    &self.caller,
                    __method,
                    &self.context,
                    &__AddArguments { a, b },
                )
                .await
        }
        async fn sum(&self, numbers: Vec<i64>, start: Option<i64>) -> Result<i64> {
            let __method = &__DESCRIPTOR.methods()[1];
            <Result<
                i64,
            > as ::everywire_core::__private::Outcome>::ask(
                    &self.caller,
                    __method,
                    &self.context,
                    &__SumArguments { numbers, start },
                )
                .await
        }
        async fn time_left(&self, cx: &Context) -> Result<Option<u64>> {
            let __method = &__DESCRIPTOR.methods()[2];
            <Result<
                Option<u64>,
            > as ::everywire_core::__private::Outcome>::ask(
                    &self.caller,
                    __method,
                    cx,
                    &__TimeLeftArguments {},
                )
                .await
        }
    }
};
