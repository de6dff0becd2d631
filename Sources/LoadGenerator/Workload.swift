internal import Foundation

/// Which requests are sent, and when: a plan that a seed decides entirely.
package struct Workload: Sendable {
    /// How requests arrive.
    package enum Arrivals: Sendable, Equatable {
        /// So many clients, each sending its next request when the last one is answered.
        case closed(clients: Int)
        /// Independent of answers: Gamma-distributed gaps with this mean rate a second and this
        /// coefficient of variation; 1 is a Poisson process, above it requests come in bursts.
        case open(rate: Double, variation: Double)
    }

    /// Which adapter a request names.
    package enum Popularity: Sendable, Equatable {
        /// None: the base model.
        case base
        /// The first, always.
        case same
        /// One after another.
        case distinct
        case uniform
        /// floor(U^(1/alpha) · N), as in S-LoRA (https://arxiv.org/abs/2311.03285): the smaller
        /// alpha, the fewer adapters get most requests.
        case power(alpha: Double)
    }

    /// A whole number between two bounds, all equally likely.
    package struct Length: Sendable, Equatable {
        package var range: ClosedRange<Int>

        package init(_ range: ClosedRange<Int>) { self.range = range }

        /// `64` or `16-128`.
        package init?(_ text: String) {
            let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let low = parts.first ?? nil, let high = parts.last ?? nil, parts.count <= 2,
                low > 0, low <= high, high <= 1 << 20
            else { return nil }
            range = low...high
        }
    }

    package var requestCount = 64
    package var arrivals = Arrivals.closed(clients: 16)
    package var popularity = Popularity.distinct
    package var adapterCount = 1
    /// After this many requests the adapters' popularity moves on by one; 0 for never.
    package var drift = 0
    package var promptWords = Length(110...110)
    package var newTokens = Length(64...64)
    package var seed: UInt64 = 0

    package init() {}

    /// One request to come.
    package struct Request: Sendable, Equatable {
        package var index: Int
        /// Seconds after the start; 0 in a closed loop.
        package var start: Double
        /// Nil for the base model.
        package var adapter: Int?
        package var prompt: String
        package var newTokens: Int
    }

    /// All requests in the order of their start.
    package func requests() -> [Request] {
        var generator = SeededGenerator(seed: seed)
        var start = 0.0
        return (0..<requestCount).map { index in
            if case .open(let rate, let variation) = arrivals {
                start += Workload.gamma(mean: 1 / rate, variation: variation, &generator)
            }
            let words = Int.random(in: promptWords.range, using: &generator)
            // Its number makes each prompt differ from the first word on: no cache of prefixes helps.
            let text = (0..<words).map { _ in
                Workload.words.randomElement(using: &generator) ?? "word"
            }
            return Request(
                index: index, start: start, adapter: adapter(for: index, &generator),
                prompt: "Request \(index) of \(seed). " + text.joined(separator: " "),
                newTokens: Int.random(in: newTokens.range, using: &generator))
        }
    }

    private func adapter(for index: Int, _ generator: inout SeededGenerator) -> Int? {
        let shift = drift > 0 ? index / drift : 0
        let uniform = Double.random(in: 0..<1, using: &generator)
        let place: Int
        switch popularity {
        case .base: return nil
        case .same: place = 0
        case .distinct: place = index
        case .uniform: place = Int(uniform * Double(adapterCount))
        case .power(let alpha): place = Int(pow(uniform, 1 / alpha) * Double(adapterCount))
        }
        return (place + shift) % adapterCount
    }

    /// Marsaglia and Tsang's method (https://doi.org/10.1145/358407.358414); shapes below 1 by the
    /// usual power of a uniform number.
    static func gamma(mean: Double, variation: Double, _ generator: inout SeededGenerator) -> Double
    {
        guard variation > 0 else { return mean }
        let shape = 1 / (variation * variation)
        let boosted = shape < 1 ? shape + 1 : shape
        let d = boosted - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        func uniform() -> Double {
            Double.random(in: Double.leastNonzeroMagnitude..<1, using: &generator)
        }
        while true {
            let normal = (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform())
            let v = pow(1 + c * normal, 3)
            guard v > 0, log(uniform()) < normal * normal / 2 + d - d * v + d * log(v) else {
                continue
            }
            let power = shape < 1 ? pow(uniform(), 1 / shape) : 1
            return d * v * power / shape * mean
        }
    }

    private static let words = """
        time person year way day thing man world life hand part child eye woman place work week case point number
        group problem fact river stone engine bird light winter paper music ocean market silver garden window bridge
        """.split { $0.isWhitespace }.map(String.init)
}
