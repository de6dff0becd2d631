internal import LoadGenerator

/// The load generator's random numbers, the same for the same seed on every machine.
package struct SeededGenerator: RandomNumberGenerator {
    private var generator: LoadGenerator.SeededGenerator

    package init(seed: UInt64) { generator = LoadGenerator.SeededGenerator(seed: seed) }

    package mutating func next() -> UInt64 { generator.next() }

    /// Roughly normal, by adding uniforms.
    package mutating func normal() -> Float {
        (0..<4).reduce(0) { sum, _ in sum + Float.random(in: -1...1, using: &self) } * 0.87
    }
}
