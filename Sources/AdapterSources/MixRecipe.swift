/// Which adapters a mix is the sum of, by the names that they are served under: `mix:NAME=SCALE,NAME=SCALE`.
package struct MixRecipe: Hashable, Sendable, CustomStringConvertible {
    package struct Part: Hashable, Sendable {
        package var name: String
        package var scale: Double
    }

    private static let partLimit = 16
    /// Of scales, either way.
    private static let scaleLimit = 1000.0

    /// In the order of their names.
    package let parts: [Part]

    /// - Parameter text: what follows `mix:`.
    /// - Throws: `SourceError` with `malformed_source`.
    init(_ text: Substring) throws(SourceError) {
        var parts: [Part] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let halves = part.split(separator: "=", omittingEmptySubsequences: false)
            guard halves.count == 2, let scale = Double(halves[1]) else {
                throw SourceError(
                    .malformedSource,
                    "\"\(part.prefix(200))\" is no part of a mix: write mix:NAME=SCALE,NAME=SCALE, as mix:legal=0.7,short=0.3."
                )
            }
            parts.append(Part(name: String(halves[0]), scale: scale))
        }
        guard (1...MixRecipe.partLimit).contains(parts.count),
            Set(parts.map(\.name)).count == parts.count,
            parts.allSatisfy({ !$0.name.isEmpty && abs($0.scale) <= MixRecipe.scaleLimit })
        else {
            throw SourceError(
                .malformedSource,
                "A mix has 1 to \(MixRecipe.partLimit) different adapters, each with a scale from "
                    + "-\(Int(MixRecipe.scaleLimit)) to \(Int(MixRecipe.scaleLimit)).")
        }
        self.parts = parts.sorted { $0.name < $1.name }
    }

    package var description: String {
        "mix:" + parts.map { "\($0.name)=\($0.scale)" }.joined(separator: ",")
    }
}
