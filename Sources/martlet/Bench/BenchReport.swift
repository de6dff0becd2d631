import Foundation
import JSONTree

/// What a measurement of several parts found: JSON for keeping, and text as it goes.
struct BenchReport {
    let printsText: Bool
    private var sections = JSON.Object()

    init(printsText: Bool) { self.printsText = printsText }

    mutating func add(_ name: String, _ value: JSON, _ text: String) {
        sections[name] = value
        if printsText { print(text + "\n") }
    }

    var json: JSON { .object(sections) }

    static func fixed(_ value: Double, _ digits: Int) -> String {
        String(format: "%.\(digits)f", value)
    }

    static func scientific(_ value: Double) -> String { String(format: "%.1e", value) }
}
