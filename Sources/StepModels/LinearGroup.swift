package import ModelFiles
package import Tensors

/// The projections of one layer that read the same input, with their outputs side by side in one
/// matrix, each from a whole panel on.
///
/// A class, like `ModelWeights.Layer`: handing one around counts one reference, not one for each matrix.
package final class LinearGroup: Sendable {
    package let site: Projection.Site
    package let weights: [PackedMatrix]
    package let biases: [Matrix?]
    /// Where each projection's outputs begin.
    package let columns: [Int]
    /// Columns of all outputs together.
    package let width: Int
    /// Panels of all projections together.
    package let panelCount: Int

    package init(site: Projection.Site, weights: [PackedMatrix], biases: [Matrix?]) {
        self.site = site
        self.weights = weights
        self.biases = biases
        var columns: [Int] = []
        var panelCount = 0
        for matrix in weights {
            columns.append(panelCount * Lanes.count)
            panelCount += matrix.panelCount
        }
        self.columns = columns
        self.panelCount = panelCount
        width = panelCount * Lanes.count
    }

    /// Where a panel, counted over all projections, lies; nil when there is none.
    package func upcoming(panel: Int) -> Upcoming? {
        var first = 0
        for matrix in weights {
            if panel < first + matrix.panelCount {
                return Upcoming(weights: matrix, panel: panel - first)
            }
            first += matrix.panelCount
        }
        return nil
    }
}
