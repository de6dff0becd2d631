internal import Foundation

extension Double {
    static func logarithm(_ x: Double) -> Double { log(x) }
    static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
}
