"""Pictures of trees, similarities and errors; matplotlib is loaded when the first one is drawn."""

from pyphylo.plot._admixture import admixture_figure, plot_admixture
from pyphylo.plot._heatmap import heatmap_figure, plot_heatmap
from pyphylo.plot._map import map_figure, plot_map
from pyphylo.plot._prediction import plot_predictions, prediction_figure
from pyphylo.plot._save import save_figure
from pyphylo.plot._sensitivity import sensitivity_figure
from pyphylo.plot._surface import plot_surface, surface_figure
from pyphylo.plot._trajectory import plot_trajectory, trajectory_figure
from pyphylo.plot._trajectory_map import plot_trajectory_map, trajectory_map_figure
from pyphylo.plot._tree import plot_tree, tree_figure

__all__ = [
    "admixture_figure",
    "heatmap_figure",
    "map_figure",
    "plot_admixture",
    "plot_heatmap",
    "plot_map",
    "plot_predictions",
    "plot_surface",
    "plot_trajectory",
    "plot_trajectory_map",
    "plot_tree",
    "prediction_figure",
    "save_figure",
    "sensitivity_figure",
    "surface_figure",
    "trajectory_figure",
    "trajectory_map_figure",
    "tree_figure",
]
