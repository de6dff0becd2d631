internal import Foundation

enum Exponential {
    /// e to the power of `-x`.
    static func decay(_ x: Double) -> Double { exp(-x) }
}
