internal import Foundation
package import ModelFiles
package import Tensors

extension ModelConfiguration {
    /// Row p: the cosines of position p's angles, then the sines, computed in 32-bit floats as
    /// transformers does.
    ///
    /// - Parameter rope: nil for that of most layers.
    package func angles(positionCount: Int, _ rope: RopeParameters? = nil) -> Matrix {
        let rope = rope ?? self.rope
        let frequencies = rope.frequencies(dimension: rotaryDimension, longest: positionCount)
        let angles = Matrix(rowCount: positionCount, columnCount: rotaryDimension)
        for position in 0..<positionCount {
            angles.withMutableRow(position) { row in
                for (index, frequency) in frequencies.enumerated() {
                    let angle = Float(position) * frequency
                    row[index] = cosf(angle) * rope.angleScale
                    row[frequencies.count + index] = sinf(angle) * rope.angleScale
                }
            }
        }
        return angles
    }
}
