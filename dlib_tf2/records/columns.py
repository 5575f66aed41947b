"""The columns of the tidy table, most of them the labels of records, and those that tell its rows
apart.
"""

# In their order. Text is empty (missing) where a record does not say: runs outside of a study have
# no `study`.
COLUMNS = {
    "study": "string",
    "model_num": "Int64",
    # gin text on top of the study's, joined by "; "; missing where the model is the study's own
    "changes": "string",
    "dataset": "string",
    "method": "string",
    "hyperparameter": "string",  # the name of the swept one; several are joined by "+"
    "strength": "float64",  # its value; NaN if there is none, or several
    "hyperparameters": "string",  # all of them, as JSON
    # of the training rows over the grid, as text; missing where it is uniform
    "distribution": "string",
    "seed": "Int64",
    "num_latent": "Int64",
    "steps": "Int64",  # updates of the model
    "run": "string",  # 8 hex digits that tell training runs apart, also of the same configuration
    "representation": "string",  # missing for the metric "train"
    "metric": "string",
    # what the metric ran: the same as `metric` but for variants of one function
    "function": "string",
    "key": "string",
    "value": "float64",
    # the classifiers that the score was computed with, joined by "+": never compare scores of
    # different ones
    "backend": "string",
    "evaluation_seed": "Int64",
    # all, or those that training drew (train) or never drew (held_out); missing for "train"
    "rows": "string",
    "settings": "string",  # 8 hex digits of the metric's whole configuration, and of a lack of rows
    "warnings": "string",  # kinds of ScoreWarning, joined by "+"; missing if there is none
    "version": "string",  # dlib_tf2 when the value was computed
    "train_version": "string",  # dlib_tf2 when the model was trained
    "tensorflow": "string",
    "keras": "string",
    "scikit_learn": "string",
    "lightgbm": "string",
    "numpy": "string",
    "finished": "string",
    "seconds": "float64",  # of the step
    "path": "string",  # of the record, below the input folder
}
TEXTS = tuple(name for name, kind in COLUMNS.items() if kind == "string")
WHOLE = tuple(name for name, kind in COLUMNS.items() if kind == "Int64")
NUMBERS = tuple(name for name, kind in COLUMNS.items() if kind == "float64")
# what a record labels its model with
LABELS = ("study", "dataset", "method", "model_num", "seed", "num_latent")
# what tells the models of a study apart
MODEL = ("dataset", "method", "hyperparameters", "seed")
SCORE = ("representation", "metric", "key", "value")
# column -> package, by its name in a record, of the step that made the value, and of the training
VERSIONS = {
    "version": "dlib_tf2",
    "scikit_learn": "scikit-learn",
    "lightgbm": "lightgbm",
    "numpy": "numpy",
}
TRAIN_VERSIONS = {"train_version": "dlib_tf2", "tensorflow": "tensorflow", "keras": "keras"}
