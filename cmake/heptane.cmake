# heptane_library(NAME SOURCES a.cc b.cc DEPS heptane_base fmt::fmt)
#   A static library whose users include "kernel/base/bytes.h" from the root; without SOURCES, headers only.
# heptane_test(NAME SOURCES a_test.cc DEPS heptane_base [LABELS tsan slow] [TIMEOUT seconds])
#   A GoogleTest program, run from the root of the tree. It always carries the label unit; tests of the directories
#   below carry tsan by themselves. Targets: tests builds all, tests_<label> those of one label.
# heptane_fuzzer(NAME SOURCES x_fuzz.cc DEPS heptane_base)
#   LLVMFuzzerTestOneInput: with HEPTANE_FUZZ a libFuzzer program (target fuzzers); otherwise a test with the label
#   fuzz that replays fuzz/corpus/NAME/.

set(HEPTANE_TSAN_DIRECTORIES kernel/log kernel/shard kernel/net)

add_custom_target(tests)
add_custom_target(fuzzers)
foreach(label IN ITEMS unit tsan fuzz)
  add_custom_target(tests_${label})
endforeach()

function(heptane_aggregate LABEL NAME)
  if(NOT TARGET tests_${LABEL})
    add_custom_target(tests_${LABEL})
  endif()
  add_dependencies(tests_${LABEL} ${NAME})
endfunction()

function(heptane_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${NAME} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(${NAME} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${NAME} ${scope} "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${NAME} ${scope} ${ARG_DEPS})
endfunction()

function(heptane_test NAME)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(HEPTANE_FUZZ)
    return()
  endif()
  if(NOT TARGET GTest::gtest_main)
    message(STATUS "GoogleTest not found: ${NAME} is not built (tools/setup test)")
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(HEPTANE_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()

  foreach(dev_source IN LISTS ARG_SOURCES)  # DEV-GUARD
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${dev_source}" AND NOT EXISTS "${dev_source}")  # DEV-GUARD
      message(WARNING "${NAME}: ${dev_source} is missing")  # DEV-GUARD
      return()  # DEV-GUARD
    endif()  # DEV-GUARD
  endforeach()  # DEV-GUARD
  file(RELATIVE_PATH directory "${CMAKE_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  if(directory IN_LIST HEPTANE_TSAN_DIRECTORIES)
    list(APPEND ARG_LABELS tsan)
  endif()
  list(APPEND ARG_LABELS unit)
  list(REMOVE_DUPLICATES ARG_LABELS)

  add_executable(${NAME} ${ARG_SOURCES})
  target_include_directories(${NAME} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} GTest::gtest_main Threads::Threads)
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${NAME} COMMAND ${NAME} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(${NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  add_dependencies(tests ${NAME})
  foreach(label IN LISTS ARG_LABELS)
    heptane_aggregate(${label} ${NAME})
  endforeach()
endfunction()

function(heptane_fuzzer NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  foreach(dev_source IN LISTS ARG_SOURCES)  # DEV-GUARD
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${dev_source}" AND NOT EXISTS "${dev_source}")  # DEV-GUARD
      message(WARNING "${NAME}: ${dev_source} is missing")  # DEV-GUARD
      return()  # DEV-GUARD
    endif()  # DEV-GUARD
  endforeach()  # DEV-GUARD
  set(corpus "${CMAKE_SOURCE_DIR}/fuzz/corpus/${NAME}")
  add_executable(${NAME} ${ARG_SOURCES})
  target_include_directories(${NAME} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzzers")
  add_dependencies(fuzzers ${NAME})
  if(HEPTANE_FUZZ)
    target_link_options(${NAME} PRIVATE -fsanitize=fuzzer)
    return()
  endif()
  target_sources(${NAME} PRIVATE "${CMAKE_SOURCE_DIR}/tools/fuzz_main.cc")
  add_test(NAME ${NAME} COMMAND ${NAME} "${corpus}" WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(${NAME} PROPERTIES LABELS fuzz TIMEOUT 300)
  heptane_aggregate(fuzz ${NAME})
endfunction()
