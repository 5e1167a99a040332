# The one list of sources; CMakeLists.txt and Makefile.pgxs both read it (name = space-separated, one logical line).
CORE_SOURCES = src/core/codec/crc32c.cpp src/core/codec/linear_model.cpp src/core/learners/cross_validation.cpp src/core/learners/group_rows.cpp src/core/learners/group_trainer.cpp src/core/learners/inference.cpp src/core/learners/linear.cpp src/core/learners/linear_path.cpp src/core/learners/row_design.cpp src/core/numeric/cholesky.cpp src/core/numeric/condition.cpp src/core/numeric/gram.cpp src/core/numeric/moments.cpp src/core/selection/metrics.cpp
MODULE_SOURCES = src/pg/module.cpp src/pg/settings.cpp src/pg/session_settings.cpp src/pg/source.cpp src/pg/learner_options.cpp src/pg/feature_reader.cpp src/pg/resources.cpp src/pg/worker_cpu.cpp src/wall/wall.cpp \
  src/registry/registry.cpp src/registry/key_text.cpp src/registry/pipeline.cpp src/registry/notify.cpp \
  src/engine/key_image.cpp src/engine/group_table.cpp src/engine/exchange.cpp src/engine/levels.cpp src/engine/progress.cpp src/engine/sink.cpp \
  src/engine/fit_session.cpp src/engine/fit_phase.cpp src/engine/fit_processes.cpp src/engine/train_options.cpp src/engine/train_spec.cpp src/engine/collect.cpp src/engine/set_view.cpp \
  src/engine/drop.cpp src/engine/run_resources.cpp src/engine/train.cpp \
  src/engine/run_lock.cpp src/engine/background_store.cpp src/engine/background.cpp src/engine/background_train.cpp src/engine/run_control.cpp src/engine/fingerprint.cpp src/engine/refresh.cpp \
  src/serving/model_value.cpp src/serving/model_type.cpp src/serving/model_coefficients.cpp src/serving/fit_aggregate.cpp src/serving/predict_model.cpp src/serving/model_table.cpp src/serving/score_row.cpp \
  src/serving/score_query.cpp src/serving/score_table.cpp src/serving/score_receiver.cpp src/serving/score_many_models.cpp src/serving/model_cache.cpp src/serving/predict_set.cpp
SQL_SOURCES = sql/00_types.sql sql/10_model_type.sql sql/20_registry.sql sql/30_train.sql sql/40_views.sql sql/50_scoring.sql sql/60_fit.sql sql/65_background.sql sql/66_refresh.sql sql/85_statistics.sql sql/90_pipeline.sql
