// swift-tools-version: 6.2

import PackageDescription

/// Every Swift target is built under the same rules; see CONTRIBUTING.md.
let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

let cSettings: [CSetting] = [
    .enableWarning("all"),
    .enableWarning("extra"),
    .treatAllWarnings(as: .error),
]

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let grpc = Target.Dependency.product(name: "GRPCCore", package: "grpc-swift-2")
let grpcProtobuf = Target.Dependency.product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")
let grpcTransport = Target.Dependency.product(
    name: "GRPCNIOTransportHTTP2TransportServices", package: "grpc-swift-nio-transport")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let unixSignals = Target.Dependency.product(
    name: "UnixSignals", package: "swift-service-lifecycle")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioHTTPTypesHTTP1 = Target.Dependency.product(
    name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let coreMetrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let httpClient = Target.Dependency.product(
    name: "AsyncHTTPClient", package: "async-http-client")
let hummingbirdTesting = Target.Dependency.product(
    name: "HummingbirdTesting", package: "hummingbird")
let lifecycle = Target.Dependency.product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle")

/// A library target of the layer table in ARCHITECTURE.md. SwiftPM does not stop a module from
/// importing what only a dependency of a dependency declares; the tidy test does.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

/// Files of the page, built into the executable. A test holds them to `PageFile.parts`.
let pageFiles = [
    "index.html", "page.css", "sections.css", "access.js", "adapters.js", "advice.js", "answer.js",
    "api.js", "app.js", "ask.js", "cells.js", "dom.js", "format.js", "key.js", "lanes.js",
    "manage.js", "metrics.js", "now.js", "picker.js", "replicas.js", "store.js", "stream.js",
    "strip.js", "table.js",
]

/// A test target. Goldens are read from the source folder, not copied.
func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["TestSupport"], exclude: exclude,
        swiftSettings: swiftSettings)
}

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "martlet", targets: ["martlet"]),
        .library(name: "Martlet", targets: ["Martlet"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(
            url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .target(name: "CMartletKernels", cSettings: cSettings),
        .target(
            name: "CMartletDevices", exclude: ["slang", "spirv", "ptx"], cSettings: cSettings),
        module("JSONTree"),
        module("Devices", ["CMartletDevices"]),
        module("Tensors", ["CMartletKernels"]),
        module("ModelFiles", ["Tensors", "JSONTree"]),
        module("Grammar", ["JSONTree"]),
        module("Answers", ["JSONTree"]),
        module("Tokenization", ["JSONTree", heap]),
        module("ChatTemplates", ["JSONTree"]),
        module("Adapters", ["Tensors", "ModelFiles", "JSONTree", crypto]),
        module(
            "AdapterSources",
            ["JSONTree", "Tensors", httpClient, crypto, nioCore, nioHTTP1, nioPosix]),
        module("Catalog", [grdb]),
        module(
            "AdapterStore",
            [
                "Adapters", "AdapterSources", "Catalog", "ModelFiles", "Tensors", lifecycle,
                logging,
                metrics,
            ]),
        module("StepModels", ["Tensors", "ModelFiles", "Adapters"]),
        module(
            "DeviceTransformer",
            ["Adapters", "CMartletDevices", "Devices", "ModelFiles", "StepModels", "Tensors"]),
        module("Transformer", ["StepModels", "Tensors", "ModelFiles", "Adapters"]),
        module(
            "Engine", ["Tensors", "StepModels", "Adapters", heap, metrics, lifecycle]),
        module(
            "Conformance", ["Tensors", "ModelFiles", "StepModels", "Adapters", "JSONTree"]),
        module("OpenAIWire", ["JSONTree"]),
        .target(
            name: "Page", dependencies: [hummingbird, httpTypes, nioCore],
            resources: pageFiles.map { .embedInCode($0) }, swiftSettings: swiftSettings),
        module("Placement", ["JSONTree", deque]),
        module("Tenants", ["Catalog", "JSONTree", "OpenAIWire", "Tensors", crypto]),
        module("ClusterSimulation", ["Placement", "LoadGenerator", heap]),
        // Generated, so the rules for what people write do not hold.
        .target(
            name: "RouterWire", dependencies: [grpc, grpcProtobuf, protobuf],
            exclude: ["Protos", "manifest.txt"]),
        module(
            "Router",
            [
                "JSONTree", "OpenAIWire", "Page", "Placement", "RouterWire", "Telemetry", grpc,
                grpcTransport,
                protobuf, httpTypes,
                httpClient, hummingbird, lifecycle, logging, metrics, nioCore, nioHTTP1, nioPosix,
                yams,
            ]),
        module(
            "Telemetry",
            [httpClient, nioCore, nioHTTP1, lifecycle, "JSONTree", logging, coreMetrics]),
        module(
            "Generation",
            [
                "Answers", "Engine", "Grammar", "Tokenization", "ChatTemplates", "Adapters",
                "ModelFiles", "JSONTree",
            ]),
        module(
            "Martlet",
            [
                "Adapters", "Engine", "Generation", "Grammar", "JSONTree", "ModelFiles",
                "StepModels", "Tensors", "Tokenization", "Transformer",
            ]),
        module(
            "Server",
            [
                "AdapterSources", "AdapterStore", "Answers", "Catalog", "Generation", "Grammar",
                "OpenAIWire", "Page",
                "Placement", "Telemetry", "Tenants", "Engine", "Adapters", "ModelFiles",
                "Tokenization",
                "JSONTree", hummingbird, hummingbirdCore, crypto, logging, metrics, lifecycle,
                nioCore,
                nioHTTP1, nioHTTPTypes, nioHTTPTypesHTTP1, nioPosix, httpTypes,
            ]),
        module("LoadGenerator", ["JSONTree", "OpenAIWire", httpClient, nioCore, nioHTTP1]),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "LoadGenerator", "OpenAIWire", "ClusterSimulation", "Placement", "Router",
                httpClient, nioCore, nioHTTP1,
                "AdapterSources", "AdapterStore", "Catalog",
                "Conformance", "Grammar", "Server", "Telemetry", "Tenants", "Generation", "Engine",
                "StepModels",
                "Transformer",
                "Adapters",
                "ModelFiles",
                "Tensors", "Devices", "DeviceTransformer",
                "Tokenization", "ChatTemplates", "JSONTree", lifecycle, unixSignals,
                logging, metrics,
                yams,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
            ],
            swiftSettings: swiftSettings),
        // Also a package of its own, as others would have it: Examples/swift.
        .executableTarget(
            name: "ask", dependencies: ["Martlet"], path: "Examples/swift/Sources/ask",
            swiftSettings: swiftSettings),
        .target(name: "PlayedCUDA", path: "Tests/PlayedCUDA", cSettings: cSettings),
        module(
            "TestSupport",
            [
                "CMartletDevices", "PlayedCUDA", "LoadGenerator", "Tensors", "ModelFiles",
                "Adapters", "Devices",
                "DeviceTransformer", "StepModels",
                "Transformer", "Engine",
                nioCore, nioHTTP1, nioPosix,
            ]),
        tests("TidyTests", []),
        tests("JSONTreeTests", ["JSONTree"]),
        tests("GrammarTests", ["Grammar", "JSONTree"]),
        tests("MartletTests", ["Martlet"]),
        tests("AnswersTests", ["Answers", "ChatTemplates", "JSONTree"]),
        tests("AdaptersTests", ["Adapters", "ModelFiles", "StepModels", "Tensors", "Transformer"]),
        tests("CatalogTests", ["Catalog"]),
        tests("AdapterSourcesTests", ["AdapterSources"]),
        tests(
            "AdapterStoreTests",
            [
                "AdapterStore", "AdapterSources", "Adapters", "Catalog", "Engine", "ModelFiles",
                "Tensors",
            ]),
        tests("TensorsTests", ["Tensors"]),
        tests("DevicesTests", ["CMartletDevices", "Devices", "Tensors"]),
        tests("ModelFilesTests", ["ModelFiles", "Tensors", "JSONTree"], exclude: ["Goldens"]),
        tests(
            "EngineTests",
            [
                "Conformance", "Adapters", "Devices", "DeviceTransformer", "Engine", "JSONTree",
                "ModelFiles",
                "StepModels", "Tensors", "Transformer",
            ]),
        tests("DeviceTransformerTests", ["DeviceTransformer"]),
        tests("OpenAIWireTests", ["OpenAIWire", "JSONTree"]),
        tests("PlacementTests", ["Placement", "JSONTree"]),
        tests("ClusterSimulationTests", ["ClusterSimulation"]),
        tests(
            "RouterTests", ["Router", "RouterWire", "Placement", "JSONTree", protobuf]),
        tests("GenerationTests", ["Generation"]),
        tests("LoadGeneratorTests", ["LoadGenerator", "JSONTree"]),
        tests("CommandLineTests", ["martlet", "JSONTree"]),
        tests(
            "ServerTests",
            [
                "Server", "AdapterSources", "AdapterStore", "Adapters", "Catalog", "ChatTemplates",
                "Engine",
                "Tenants",
                "Generation", "JSONTree", "ModelFiles", "Page", "Placement", "Telemetry", "Tensors",
                "Tokenization",
                "Transformer",
                hummingbird, hummingbirdTesting, httpTypes, logging, nioCore,
            ]),
        tests("TenantsTests", ["Tenants", "Catalog", "JSONTree", "OpenAIWire", "Tensors"]),
        tests("TelemetryTests", ["Telemetry", "JSONTree", coreMetrics, logging]),
        tests("TokenizationTests", ["Tokenization", "JSONTree"], exclude: ["Goldens"]),
        tests("ChatTemplatesTests", ["ChatTemplates", "JSONTree"], exclude: ["Goldens"]),
        tests(
            "ConformanceTests",
            [
                "Conformance", "Adapters", "Devices", "DeviceTransformer", "JSONTree", "ModelFiles",
                "StepModels", "Engine",
                "Tensors", "Transformer", crypto,
            ],
            exclude: ["Goldens"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)

// Only libFuzzer has a main function for it, so it is built by scripts/fuzz alone.
if Context.environment["MARTLET_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "martlet-fuzz",
            dependencies: [
                "Adapters", "ChatTemplates", "Grammar", "JSONTree", "ModelFiles", "OpenAIWire",
                "Placement", "Tensors", "Tokenization",
            ], path: "Fuzz/Sources",
            swiftSettings: swiftSettings,
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]))
}
