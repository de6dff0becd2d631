/// What values are put in order by: a hash that is quick and that nobody outside can foresee.
struct Mixer {
    private var state = Mixer.seed
    /// So that no schema can be made whose parts all fall together.
    private static let seed = UInt64.random(in: .min ... .max)

    @inline(__always)
    mutating func mix(_ word: UInt64) {
        let product = (state ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        state = product.high ^ product.low ^ Mixer.seed
    }

    @inline(__always)
    mutating func mix(_ a: Int32, _ b: Int32) {
        mix(UInt64(UInt32(bitPattern: a)) << 32 | UInt64(UInt32(bitPattern: b)))
    }

    var hash: UInt32 { UInt32(truncatingIfNeeded: state ^ state >> 32) }
}

/// A value that a `NumberTable` can find.
protocol Mixable: Equatable {
    func mix(into mixer: inout Mixer)
}

/// Numbers values in the order in which they come; equal values have equal numbers.
struct NumberTable<Value: Mixable> {
    private(set) var values: [Value] = []
    private var hashes: [UInt32] = []
    /// Numbers by their hashes, -1 for none; never more than half full.
    private var slots = [Int32](repeating: -1, count: 16)

    var count: Int { values.count }

    subscript(number: Int32) -> Value { values[Int(number)] }

    /// A value's number, and whether it has it since now.
    mutating func number(of value: Value) -> (number: Int32, isNew: Bool) {
        var mixer = Mixer()
        value.mix(into: &mixer)
        let hash = mixer.hash
        var slot = Int(hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let number = slots[slot]
            if hashes[Int(number)] == hash, values[Int(number)] == value { return (number, false) }
            slot = (slot + 1) & (slots.count - 1)
        }
        let number = Int32(values.count)
        values.append(value)
        hashes.append(hash)
        slots[slot] = number
        if 2 * values.count > slots.count { grow() }
        return (number, true)
    }

    private mutating func grow() {
        let count = 2 * slots.count
        slots = [Int32](repeating: -1, count: count)
        for (number, hash) in hashes.enumerated() {
            var slot = Int(hash) & (count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (count - 1) }
            slots[slot] = Int32(number)
        }
    }
}
