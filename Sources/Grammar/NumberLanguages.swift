/// Bounds of numbers, each with whether it belongs to them.
struct NumberBounds: Hashable, Sendable {
    var least: Decimal?
    var leastIsIn = true
    var most: Decimal?
    var mostIsIn = true

    /// A decimal number: its sign, digits before the point without leading zeros, and behind it without trailing ones.
    struct Decimal: Hashable, Sendable, Comparable {
        var isNegative: Bool
        var whole: [UInt8]
        var fraction: [UInt8]

        /// Reads JSON's notation; nil for exponents beyond reason.
        init?(_ text: String) {
            var rest = text[...]
            isNegative = rest.first == "-"
            if isNegative { rest.removeFirst() }
            let parts = rest.lowercased().split(separator: "e", maxSplits: 1)
            guard let mantissa = parts.first else { return nil }
            let exponent = parts.count > 1 ? Int(parts[1]) : 0
            guard let exponent, abs(exponent) < 400 else { return nil }
            let sides = mantissa.split(separator: ".", maxSplits: 1)
            var (whole, fraction) = (
                Array(sides[0].utf8), sides.count > 1 ? Array(sides[1].utf8) : []
            )
            for _ in 0..<max(0, exponent) {
                whole.append(fraction.isEmpty ? 0x30 : fraction.removeFirst())
            }
            for _ in 0..<max(0, -exponent) {
                fraction.insert(whole.isEmpty ? 0x30 : whole.removeLast(), at: 0)
            }
            while whole.first == 0x30 { whole.removeFirst() }
            while fraction.last == 0x30 { fraction.removeLast() }
            self.whole = whole
            self.fraction = fraction
            if whole.isEmpty, fraction.isEmpty { isNegative = false }
        }

        private init(isNegative: Bool, whole: [UInt8], fraction: [UInt8]) {
            (self.isNegative, self.whole, self.fraction) = (isNegative, whole, fraction)
        }

        var isZero: Bool { whole.isEmpty && fraction.isEmpty }

        var magnitude: Decimal { Decimal(isNegative: false, whole: whole, fraction: fraction) }

        static func < (a: Decimal, b: Decimal) -> Bool {
            if a.isNegative != b.isNegative { return a.isNegative }
            let (x, y) = a.isNegative ? (b, a) : (a, b)
            if x.whole.count != y.whole.count { return x.whole.count < y.whole.count }
            if x.whole != y.whole { return x.whole.lexicographicallyPrecedes(y.whole) }
            return x.fraction.lexicographicallyPrecedes(y.fraction)
        }
    }

    mutating func raiseLeast(to value: Decimal, isIn: Bool) {
        if let least, least > value || least == value && (!leastIsIn || isIn) { return }
        (least, leastIsIn) = (value, isIn)
    }

    mutating func lowerMost(to value: Decimal, isIn: Bool) {
        if let most, most < value || most == value && (!mostIsIn || isIn) { return }
        (most, mostIsIn) = (value, isIn)
    }

    func contains(_ value: Decimal) -> Bool {
        if let least, value < least || value == least && !leastIsIn { return false }
        if let most, value > most || value == most && !mostIsIn { return false }
        return true
    }
}

extension RegularLanguages {
    private mutating func digit(_ range: ClosedRange<UInt8>) -> ID { bytes(ByteSet(range)) }
    private var nine: ClosedRange<UInt8> { 0x30...0x39 }

    private mutating func digits(_ least: Int, _ most: Int?) -> ID {
        repeated(digit(nine), least, most)
    }

    /// JSON's numbers within bounds; without an exponent where there are bounds.
    mutating func number(_ bounds: NumberBounds, isInteger: Bool) -> ID {
        let minus = literal([0x2D])
        let whole = either([literal([0x30]), sequence(digit(0x31...0x39), digits(0, nil))])
        if bounds.least == nil, bounds.most == nil {
            if isInteger { return sequence(optional(minus), whole) }
            let fraction = sequence(literal([0x2E]), digits(1, nil))
            var signs = ByteSet()
            signs.insert(0x2B)
            signs.insert(0x2D)
            var e = ByteSet()
            e.insert(0x65)
            e.insert(0x45)
            let exponent = sequence([bytes(e), optional(bytes(signs)), digits(1, 3)])
            return sequence([optional(minus), whole, optional(fraction), optional(exponent)])
        }
        // By sign: magnitudes between bounds. "-0" is 0.
        var parts: [ID] = []
        let (least, most) = (bounds.least, bounds.most)
        if most.map({ !$0.isNegative }) ?? true {
            let from = least.map { $0.isNegative ? nil : $0 } ?? nil
            parts.append(
                magnitude(
                    from: from, isIn: from == nil || bounds.leastIsIn, to: most,
                    isIn: bounds.mostIsIn, isInteger))
        }
        if least.map({ $0.isNegative || $0.isZero && bounds.leastIsIn }) ?? true {
            let from = most.map { $0.isNegative || $0.isZero ? $0.magnitude : nil } ?? nil
            let to = least?.magnitude
            parts.append(
                sequence(
                    minus,
                    magnitude(
                        from: from, isIn: from == nil || bounds.mostIsIn, to: to,
                        isIn: bounds.leastIsIn, isInteger)))
        }
        return either(parts)
    }

    /// Numbers without a sign between two of them.
    private mutating func magnitude(
        from least: NumberBounds.Decimal?, isIn leastIsIn: Bool, to most: NumberBounds.Decimal?,
        isIn mostIsIn: Bool, _ isInteger: Bool
    ) -> ID {
        var parts = [plainNumbers(isInteger)]
        if let least, !(least.isZero && leastIsIn) { parts.append(atLeast(least, leastIsIn)) }
        if let most { parts.append(atMost(most, mostIsIn)) }
        return both(parts)
    }

    /// Without a sign and an exponent.
    mutating func plainNumbers(_ isInteger: Bool) -> ID {
        let whole = either([literal([0x30]), sequence(digit(0x31...0x39), digits(0, nil))])
        guard !isInteger else { return whole }
        return sequence(whole, optional(sequence(literal([0x2E]), digits(1, nil))))
    }

    /// Any fraction, or none.
    private mutating func anyFraction() -> ID {
        optional(sequence(literal([0x2E]), digits(1, nil)))
    }

    private mutating func wholeDigits(_ value: NumberBounds.Decimal) -> [UInt8] {
        value.whole.isEmpty ? [0x30] : value.whole
    }

    private mutating func atLeast(_ value: NumberBounds.Decimal, _ isIn: Bool) -> ID {
        let whole = wholeDigits(value)
        // More digits; or as many and greater; or the same and a fraction that is as great.
        var parts = [sequence([digit(0x31...0x39), digits(whole.count, nil), anyFraction()])]
        for place in whole.indices where whole[place] < 0x39 {
            parts.append(
                sequence([
                    literal(whole[..<place]), digit(whole[place] + 1...0x39),
                    digits(whole.count - place - 1, whole.count - place - 1), anyFraction(),
                ]))
        }
        parts.append(sequence(literal(whole), fraction(atLeast: value.fraction, isIn)))
        return either(parts)
    }

    private mutating func atMost(_ value: NumberBounds.Decimal, _ isIn: Bool) -> ID {
        let whole = wholeDigits(value)
        var parts: [ID] = []
        if whole.count > 1 {
            parts.append(sequence(digits(1, whole.count - 1), anyFraction()))
        }
        for place in whole.indices where whole[place] > 0x30 {
            parts.append(
                sequence([
                    literal(whole[..<place]), digit(0x30...whole[place] - 1),
                    digits(whole.count - place - 1, whole.count - place - 1), anyFraction(),
                ]))
        }
        parts.append(sequence(literal(whole), fraction(atMost: value.fraction, isIn)))
        return either(parts)
    }

    /// Fractions with their point, or nothing, that are at least some digits.
    private mutating func fraction(atLeast digitsWanted: [UInt8], _ isIn: Bool) -> ID {
        let point = literal([0x2E])
        guard !digitsWanted.isEmpty else {
            if isIn { return anyFraction() }
            return sequence([point, digits(0, nil), digit(0x31...0x39), digits(0, nil)])
        }
        var parts: [ID] = []
        for place in digitsWanted.indices where digitsWanted[place] < 0x39 {
            parts.append(
                sequence([
                    literal(digitsWanted[..<place]), digit(digitsWanted[place] + 1...0x39),
                    digits(0, nil),
                ]))
        }
        let more =
            isIn ? digits(0, nil) : sequence([digits(0, nil), digit(0x31...0x39), digits(0, nil)])
        parts.append(sequence(literal(digitsWanted), more))
        return sequence(point, either(parts))
    }

    private mutating func fraction(atMost digitsWanted: [UInt8], _ isIn: Bool) -> ID {
        let point = literal([0x2E])
        let zeros = repeated(literal([0x30]), 1, nil)
        guard !digitsWanted.isEmpty else {
            return isIn ? optional(sequence(point, zeros)) : Self.never
        }
        var parts: [ID] = []
        for place in digitsWanted.indices {
            // An end before the last digit is less; so is a lower digit there.
            if place > 0 { parts.append(literal(digitsWanted[..<place])) }
            if digitsWanted[place] > 0x30 {
                parts.append(
                    sequence([
                        literal(digitsWanted[..<place]), digit(0x30...digitsWanted[place] - 1),
                        digits(0, nil),
                    ]))
            }
        }
        if isIn { parts.append(sequence(literal(digitsWanted), repeated(literal([0x30]), 0, nil))) }
        return optional(sequence(point, either(parts)))
    }

    /// Numbers without an exponent that are a multiple of one; nil when that has too many digits.
    mutating func multiples(of divisor: NumberBounds.Decimal) -> ID? {
        let digitsOfDivisor = divisor.whole + divisor.fraction
        guard let size = Int(String(decoding: digitsOfDivisor, as: UTF8.self)), size > 0,
            size <= 10_000
        else { return nil }
        // As many digits behind the point as the divisor has, and zeros: the number times a power of ten modulo `size`.
        let places = divisor.fraction.count
        // State: start, sign, then (digits behind the point so far or none, remainder), then zeros.
        let width = places + 2
        func number(_ behind: Int, _ remainder: Int) -> Int { 2 + remainder * width + behind }
        var next: [[UInt8: Int]] = Array(repeating: [:], count: 2 + size * width)
        var accepts = Array(repeating: false, count: 2 + size * width)
        next[0][0x2D] = 1
        for digit in 0...9 {
            for start in [0, 1] { next[start][UInt8(0x30 + digit)] = number(0, digit % size) }
        }
        for remainder in 0..<size {
            for behind in 0...places + 1 {
                let state = number(behind, remainder)
                // `behind` is 0 before the point, else 1 and the digits behind it.
                if behind == 0 {
                    for digit in 0...9 {
                        next[state][UInt8(0x30 + digit)] = number(
                            0, (remainder * 10 + digit) % size)
                    }
                    next[state][0x2E] = number(1, remainder)
                } else if behind <= places {
                    for digit in 0...9 {
                        next[state][UInt8(0x30 + digit)] = number(
                            behind + 1, (remainder * 10 + digit) % size)
                    }
                } else {
                    next[state][0x30] = state
                }
                let missing = behind == 0 ? places : places + 1 - behind
                var value = remainder
                for _ in 0..<missing { value = value * 10 % size }
                accepts[state] = value == 0
            }
        }
        return table(Table(next: next, accepts: accepts))
    }
}
