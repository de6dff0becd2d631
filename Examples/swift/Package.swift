// swift-tools-version: 6.2

import PackageDescription

// A package that uses Martlet as a library. Elsewhere the dependency is its address and a version.
let package = Package(
    name: "ask",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "martlet", path: "../..")],
    targets: [
        .executableTarget(
            name: "ask", dependencies: [.product(name: "Martlet", package: "martlet")])
    ]
)
