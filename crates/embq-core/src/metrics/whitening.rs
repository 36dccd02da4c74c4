//! Directions along which the means of classes differ.

use ndarray::Array2;

use crate::error::Result;
use crate::kernels::Eigen;

/// Eigenvalues of the scatter between classes below this share of the largest are rounding.
const RANK_SHARE: f64 = 1e-10;

/// The eigenvectors of S_B = M^T M / K, each over the square root of its eigenvalue; `None` if all eigenvalues are 0.
pub(crate) fn whitening(centred: &Array2<f64>) -> Result<Option<Array2<f64>>> {
    let (classes, d) = centred.dim();
    let count = classes as f64;
    let rank = (classes - 1).min(d);
    let kept = |values: &[f64]| {
        let least = values[0] * RANK_SHARE;
        values.iter().take(rank).take_while(|&&value| value > least && value > 0.0).count()
    };
    // The same eigenvalues are those of M M^T / K; the smaller of the two is taken.
    let mut directions = if classes <= d {
        let eigen = Eigen::of(&(centred.dot(&centred.t()) / count), rank)?;
        let kept = kept(&eigen.values);
        let mut directions = eigen.vectors.slice(ndarray::s![..kept, ..]).dot(centred);
        for (mut direction, value) in directions.rows_mut().into_iter().zip(&eigen.values) {
            direction.mapv_inplace(|element| element / (value * count.sqrt()));
        }
        directions
    } else {
        let eigen = Eigen::of(&(centred.t().dot(centred) / count), rank)?;
        let kept = kept(&eigen.values);
        let mut directions = eigen.vectors.slice(ndarray::s![..kept, ..]).to_owned();
        for (mut direction, value) in directions.rows_mut().into_iter().zip(&eigen.values) {
            direction.mapv_inplace(|element| element / value.sqrt());
        }
        directions
    };
    if directions.nrows() == 0 {
        return Ok(None);
    }
    // Laid out row after row.
    directions = directions.as_standard_layout().into_owned();
    Ok(Some(directions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitening_undoes_the_scatter_between_classes() {
        for centred in [ndarray::array![[3.0, 0.0, 1.0], [-3.0, 0.0, -1.0]], ndarray::array![[2.0], [0.0], [-2.0]]] {
            let count = centred.nrows() as f64;
            let directions = whitening(&centred).unwrap().unwrap();
            let along = centred.dot(&directions.t());
            let scatter = along.t().dot(&along) / count;
            assert_eq!(scatter.dim(), (1, 1));
            assert!((scatter[[0, 0]] - 1.0).abs() < 1e-14);
        }
        assert!(whitening(&Array2::zeros((3, 4))).unwrap().is_none());
    }
}
